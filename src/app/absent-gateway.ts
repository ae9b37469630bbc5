import type { ExpectedGateway, Gateway } from "../programs/gateway.js";
import type { AbsentGateway } from "./status-report.js";

/** The next step where no gateway listens. */
export const ABSENT_HINT =
  "if it runs, it listens elsewhere: set gateway.port in openclaw.json to its port; if it is stopped, it reads its stores at its start";

/** The gateways that are configured or ran, and that nobody on this host listens for. */
export async function absentGateways(gateways: readonly Gateway[]): Promise<AbsentGateway[]> {
  const absent = gateways.map(async ({ name, listener, expected }): Promise<AbsentGateway[]> => {
    const where = (await expected?.()) ?? null;
    if (where === null || (await listener()) !== null) return [];
    return [{ gateway: name, port: where.port, explanation: absentText(where), hint: ABSENT_HINT }];
  });
  return (await Promise.all(absent)).flat();
}

/** Describes the place where a gateway should listen, and does not. */
export function absentText({ port, because }: ExpectedGateway): string {
  const where = `port ${String(port)} of this host, so that credsyncd reloads no gateway`;
  switch (because) {
    case "ran":
      return `it ran before, and nothing listens on ${where}`;
    case "configured":
      return `OpenClaw is configured for it, and nothing listens on ${where}`;
  }
}
