import type { Observer, Running } from "../observer.js";
import { statusLine } from "../status-line.js";

/** Tells systemd how it stands, for `systemctl status`, and that the start is over. */
export function observeForSystemd({ supervisor, environment: { clock } }: Pick<Running, "supervisor" | "environment">): Observer {
  return {
    observe: ({ result }) => {
      supervisor.status(() => statusLine(result, clock.now()));
    },
    observeFailure: ({ message }) => {
      supervisor.status(() => message);
    },
    ready: () => {
      supervisor.ready();
    },
  };
}
