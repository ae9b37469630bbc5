import type { Binding } from "./observation.js";
import type { Share } from "./store.js";

/** A name that leads to a place, and what the configuration says of it. */
export interface Claim<Name> {
  readonly name: Name;
  readonly isItself: boolean;
  readonly binding: Binding;
  readonly share: Share;
}

/** The name that a place belongs to, and the binding and share for all its names. */
export interface Holding<Name> {
  readonly name: Name;
  readonly binding: Binding;
  readonly share: Share;
}

const BINDINGS: readonly Binding[] = ["follow", "pinned", "ignore"];
const SHARES: readonly Share[] = ["full", "access-only"];

/**
 * Assigns a place with several names (rule R16b) to the name that is its real path. If not exactly one is, the strictest binding
 * and share of the candidates apply, and the first name with that binding has the place.
 */
export function holdingOf<Name>(claims: readonly [Claim<Name>, ...Claim<Name>[]]): Holding<Name> {
  const real = claims.filter(({ isItself }) => isItself);
  const owners = real.length > 0 ? real : claims;
  const binding = strictest(
    BINDINGS,
    owners.map((claim) => claim.binding),
  );
  const share = strictest(
    SHARES,
    owners.map((claim) => claim.share),
  );
  const { name } = owners.find((claim) => claim.binding === binding) ?? claims[0];
  return { name, binding, share };
}

/** Checks whether a name's own configuration differs from the one that applies. */
export function isOverruled<Name>({ binding, share }: Claim<Name>, holding: Holding<Name>): boolean {
  return binding !== holding.binding || (binding === "follow" && share !== holding.share);
}

function strictest<Value>(order: readonly Value[], values: readonly Value[]): Value {
  const [first] = values;
  if (first === undefined) throw new Error("a place has a name");
  return values.reduce((strict, value) => (order.indexOf(value) > order.indexOf(strict) ? value : strict), first);
}
