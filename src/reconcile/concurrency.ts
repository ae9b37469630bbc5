/**
 * Runs an action over items, at most `limit` at a time, and keeps their order.
 *
 * A rejection stops what has not begun and is passed on when nothing is under way any more: whoever holds a lock
 * around it must not let go of it earlier.
 */
export async function mapConcurrently<Item, Result>(
  items: readonly Item[],
  limit: number,
  action: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results = new Array<Result>(items.length);
  const remaining = items.entries();
  let failed = false;
  const worker = async (): Promise<void> => {
    for (const [index, item] of remaining) {
      if (failed) return;
      try {
        results[index] = await action(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: Math.min(limit, items.length) }, worker));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
  return results;
}
