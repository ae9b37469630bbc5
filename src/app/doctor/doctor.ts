import type { DoctorFinding, Patient } from "./finding.js";
import { clock, hardLinks, locks, permissions, strays, symlinks } from "./files.js";
import { keepWarm } from "./keep-warm.js";
import { deleted, expiredOwn, trash } from "./openclaw-rows.js";
import { agents, alerts, eras, gateways, overrides, stores, unused, whitelists } from "./openclaw.js";
import { replacedLinks } from "./replaced-links.js";
import { config, daemons, inotify, keychain, ledger, node, state } from "./system.js";

/** The checks in the order of their reports: those that everything relies on come first. */
const checks = [
  node,
  config,
  keepWarm,
  daemons,
  permissions,
  stores,
  agents,
  alerts,
  symlinks,
  replacedLinks,
  hardLinks,
  keychain,
  strays,
  locks,
  clock,
  state,
  ledger,
  inotify,
  eras,
  overrides,
  unused,
  deleted,
  expiredOwn,
  trash,
  whitelists,
  gateways,
] as const;

/** Examines an installation; it changes nothing but permissions, and those only when it is asked to mend them. */
export async function examine(patient: Patient): Promise<DoctorFinding[]> {
  const findings: DoctorFinding[] = [];
  for (const check of checks) findings.push(...(await check(patient)));
  return findings;
}
