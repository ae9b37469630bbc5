/** npm systemd-notify: runs the program `systemd-notify` and rejects with what it said, which is text and no Error. */
declare module "systemd-notify" {
  interface Notification {
    readonly ready?: boolean;
    readonly status?: string;
    readonly pid?: number;
  }
  export default function notify(notification: Notification): Promise<unknown>;
}
