/** Reduces API answers to what the view *Now* shows: pairs and nodes that pass the filter, sums, and shares. */
import type { AcceptedEvent } from "../../admin/events/index.ts";
import type { TrafficMap, TrafficNode, TrafficPair } from "../../admin/traffic/index.ts";

/** A node with the bytes that reach it by each path, on the wire. */
export interface NodePaths {
  readonly name: string;
  readonly direct: number;
  readonly relayed: number;
}

/** Pairs with one of the nodes at either end; all pairs if `nodes` is empty. */
export function pairsWith(pairs: readonly TrafficPair[], nodes: readonly string[]): readonly TrafficPair[] {
  if (nodes.length === 0) return pairs;
  const wanted = new Set(nodes);
  return pairs.filter(({ from, to }) => wanted.has(from) || wanted.has(to));
}

/** Nodes with a known path, limited to `nodes` unless that is empty. */
export function pathsOf(all: readonly TrafficNode[], nodes: readonly string[]): readonly NodePaths[] {
  return all.flatMap(({ name, kinds: { direct = 0, relayed = 0 } }) =>
    direct + relayed === 0 || (nodes.length > 0 && !nodes.includes(name)) ? [] : [{ name, direct, relayed }],
  );
}

/** The bytes of all nodes by path. */
export function sumOfPaths(paths: readonly NodePaths[]): Omit<NodePaths, "name"> {
  return paths.reduce((sum, { direct, relayed }) => ({ direct: sum.direct + direct, relayed: sum.relayed + relayed }), {
    direct: 0,
    relayed: 0,
  });
}

/** Every node of the map, busiest first. */
export function nodesOf({ pairs, nodes }: Pick<TrafficMap, "pairs" | "nodes">): readonly string[] {
  const bytes = new Map<string, number>();
  const add = (name: string, amount: number): void => void bytes.set(name, (bytes.get(name) ?? 0) + amount);
  for (const { from, to, txBytes, rxBytes } of pairs) {
    add(from, txBytes + rxBytes);
    add(to, txBytes + rxBytes);
  }
  for (const { name } of nodes) add(name, 0);
  return [...bytes].toSorted(([, one], [, other]) => other - one).map(([name]) => name);
}

/** True if the event is about one of the nodes: an attribute is its name, or begins with it as a DNS name does. */
export function isAbout({ attributes }: Pick<AcceptedEvent, "attributes">, nodes: readonly string[]): boolean {
  if (nodes.length === 0) return true;
  return Object.values(attributes)
    .flat()
    .some((value) =>
      nodes.some((node) => value === node || (typeof value === "string" && value.startsWith(`${node}.`))),
    );
}
