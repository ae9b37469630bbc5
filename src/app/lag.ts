import { formatDuration } from "../domain/duration.js";
import { RELOAD_TIMEOUT_MS, UNKNOWN_LISTENER, type Gateway } from "../programs/gateway.js";
import type { GatewayStatus } from "./status-report.js";

/** Why a gateway was not, or not yet, made to use what was written. */
export const lagReasons = ["reloading", "interrupted", "off", "no-command", "pairing", "no-answer", "failed"] as const;
export type LagReason = (typeof lagReasons)[number];

/** A gateway that may still use a login that was replaced. */
export interface Lag {
  /** The gateway's name. */
  readonly gateway: string;
  /** Since the first write that it was not told of (epoch ms). */
  readonly since: number;
  /**
   * When the replaced token expires (epoch ms); shortly before, a gateway reads its store again without a reload. Null: unknown.
   */
  readonly until: number | null;
  readonly reason: LagReason;
  /** The listener at the first attempt; null before that. */
  readonly listener: string | null;
}

/** Checks whether a gateway no longer lags: it restarted and so read the stores, or the replaced token has expired. */
export function isOver({ listener: before, until }: Lag, listener: string | null, now: number): boolean {
  if (listener === null) return true;
  const isAnother = before !== null && before !== listener && ![before, listener].includes(UNKNOWN_LISTENER);
  return isAnother || (until !== null && until <= now);
}

/** The gateways among those that lagged which still do: it may have been restarted since, or the replaced token have ended. */
export async function stillLagging(lags: readonly Lag[], gateways: readonly Gateway[], now: number): Promise<Lag[]> {
  const still = lags.map(async (lag): Promise<Lag[]> => {
    const gateway = gateways.find(({ name }) => name === lag.gateway);
    return gateway === undefined || isOver(lag, await gateway.listener(), now) ? [] : [lag];
  });
  return (await Promise.all(still)).flat();
}

/** A lag as a daemon left it that ended: nobody is telling the gateway any more. */
export function leftBehind(lag: Lag): Lag {
  return lag.reason === "reloading" ? { ...lag, reason: "interrupted" } : lag;
}

/** A gateway that lags, in words. */
export function gatewayStatus({ gateway, since, until, reason }: Lag): GatewayStatus {
  return {
    gateway,
    laggingSince: new Date(since).toISOString(),
    until: until === null ? null : new Date(until).toISOString(),
    reason,
    explanation: lagText(reason),
    hint: lagHint(reason),
  };
}

/** Says since when a gateway lags, why, and until when at the latest. */
export function lagLine({ laggingSince, until, explanation }: GatewayStatus, now: number): string {
  const left = until === null ? "" : `, or for ${formatDuration(Date.parse(until) - now)} at the longest`;
  return `may use the old login until its next turn, a reload or a restart${left}; since ${formatDuration(now - Date.parse(laggingSince))} ago: ${explanation}`;
}

/** Why a gateway was not told, in words. */
export function lagText(reason: LagReason): string {
  switch (reason) {
    case "reloading":
      return "it is being told";
    case "interrupted":
      return "the daemon ended while it was being told";
    case "off":
      return "reload.openclaw is off";
    case "no-command":
      return "there is no such command";
    case "pairing":
      return "it wants this device to be paired";
    case "no-answer":
      return `no answer within ${String(RELOAD_TIMEOUT_MS / 1000)} s`;
    case "failed":
      return "the command failed";
  }
}

/** The user's remedy for a gateway that did not reload. */
export function lagHint(reason: LagReason): string {
  switch (reason) {
    case "reloading":
      return "look again in a moment";
    case "interrupted":
    case "off":
      return "run: openclaw secrets reload - or restart the gateway";
    case "no-command":
      return "put openclaw on the PATH, or name the command: reload.openclaw in the config";
    case "pairing":
      // 2026.6.11 refuses the approval as well: each contact of the command line replaces the request that it would approve.
      return (
        "approve this device (openclaw devices list, openclaw devices approve ID); where that is refused, move `devices` in OpenClaw's " +
        "state directory away while the gateway is stopped, so that openclaw secrets reload is the first to speak to it"
      );
    case "no-answer":
    case "failed":
      return "a turn or a restart of the gateway also makes it use the new login";
  }
}
