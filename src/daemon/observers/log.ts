import { replacedLinkText, storesAt } from "../../app/replaced-links.js";
import type { ReconcileResult } from "../../reconcile/reconciler.js";
import type { Observer, Running } from "../observer.js";

/** Says in the log what changed. */
export function observeForLog(running: Pick<Running, "reporter" | "known" | "log">): Observer {
  const { reporter } = running;
  return {
    observe: ({ result }) => {
      reporter.report(result);
      reportReplacedLinks(running, result);
    },
    observeFailure: (failure) => {
      reporter.fail(failure);
    },
    ready: (what) => {
      reporter.ready(what);
    },
  };
}

/** Once, when it is first seen: who follows what the link led to is left behind. */
function reportReplacedLinks({ known, log }: Pick<Running, "known" | "log">, { observation }: ReconcileResult): void {
  for (const link of known.takeNewlyReplaced()) {
    const { what, why, fix } = replacedLinkText(link, storesAt(link.target, observation));
    log.warn({ store: link.store, path: link.target, reason: what, why, hint: fix }, "link replaced by a file");
  }
}
