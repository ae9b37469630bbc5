import type { Composition } from "../app/compose.js";
import { gatewayStatus, lagLine } from "../app/lag.js";
import { reloadNow, type Overwritten } from "../app/reload.js";
import type { GatewayStatus } from "../app/status-report.js";
import type { Output } from "./output.js";

/**
 * Makes running gateways use what a command wrote, and says which may go on with the old login.
 *
 * @param overwritten null where nothing of a gateway was written
 */
export async function tellGateways(
  overwritten: Overwritten | null,
  { gateways, environment: { clock } }: Pick<Composition, "gateways" | "environment">,
  { output, signal }: { readonly output: Output; readonly signal: AbortSignal },
): Promise<GatewayStatus[]> {
  if (overwritten === null) return [];
  const lags = (await reloadNow(gateways, overwritten, clock, signal)).map(gatewayStatus);
  for (const lag of lags) output.say(`${lag.gateway}: ${lagLine(lag, clock.now())}\n  ${lag.hint}`);
  return lags;
}
