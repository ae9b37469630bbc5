import { keepWarmAdvice, noEffectHint, type KeepWarmAdvice } from "../../app/keep-warm-advice.js";
import { KeepWarm } from "../keep-warm.js";
import type { Observer, Running } from "../observer.js";

/** Renews a login that a scan found to expire soon. */
export interface WarmKeeper extends Observer {
  /** Null where the configuration does not ask for it. */
  readonly keepWarm: KeepWarm | null;
}

/** @param wake has the loop look at what changed */
export function observeForKeepWarm(running: Running, wake: () => void, signal: AbortSignal): WarmKeeper {
  const { config, environment, log, owner } = running;
  const { clock, variables } = environment;
  if (config.keepWarm === null) return { keepWarm: null, observe: () => undefined };
  const keepWarm = new KeepWarm({
    ...config.keepWarm,
    owner,
    variables,
    obstacle: obstacleOf(running),
    noEffectHint: noEffectHint(config),
    clock,
    log,
    wake,
  });
  const warming = keepWarm.run(signal);
  return {
    keepWarm,
    observe: ({ result }) => {
      keepWarm.observe(result);
    },
    close: () => warming,
  };
}

/** Once for each configuration: what keeps keepWarm from renewing the login. */
export function warnOfKeepWarm({ config, environment }: Pick<Running, "config" | "environment">, log: Running["log"]): void {
  for (const { what, why, fix } of keepWarmAdvice(config, environment.variables))
    log.warn({ reason: what, why, hint: fix }, "keepWarm may not renew the login");
}

function obstacleOf({ config, environment }: Pick<Running, "config" | "environment">): KeepWarmAdvice | null {
  return keepWarmAdvice(config, environment.variables).find(({ explainsNoEffect }) => explainsNoEffect) ?? null;
}
