/** Checks whether a version such as `2026.4.15` or `2026.5.12-beta.1` comes before another. */
export function isBefore(version: string, other: string): boolean {
  return version.localeCompare(other, "en", { numeric: true }) < 0;
}
