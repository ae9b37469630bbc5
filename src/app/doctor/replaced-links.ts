import { dirname } from "node:path";
import { replacedLinkText, storesAt } from "../replaced-links.js";
import { found, type Check } from "./finding.js";
import { programsWith } from "./system.js";

/** Links that became files: what they led to is the old login of whoever still uses it. */
export const replacedLinks: Check = async ({ composition, result, platform }) => {
  const findings = [];
  for (const link of composition.known.replacedLinks()) {
    const served = storesAt(link.target, result.observation);
    const text = replacedLinkText(link, served);
    const users = served.length > 0 || platform !== "linux" ? [] : await programsWith(dirname(link.target));
    const what = users.length === 0 ? text.what : `${text.what}; these programs use it: ${users.join(", ")}`;
    findings.push(found("symlinks", served.length > 0 ? "info" : "warning", { ...text, what }));
  }
  return findings;
};
