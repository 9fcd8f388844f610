/** The simulated tailnet of any size: deterministic for a seed, with distinct nodes and traffic for most of them. */
import { expect, test } from "bun:test";
import { changesIn } from "../../src/demo/changes.ts";
import { noticesIn, visitsIn } from "../../src/demo/events.ts";
import { createTraffic } from "../../src/demo/flows.ts";
import { mishapsIn } from "../../src/demo/mishaps.ts";
import { buildTailnet, defaultNodes } from "../../src/demo/tailnet.ts";

const windows = Array.from({ length: 60 }, (_, offset) => 358_720_000 + offset);

test.each([2, 3, 10, defaultNodes, 60, 500, 2000])("of %d nodes", (nodeCount) => {
  const tailnet = buildTailnet(7, nodeCount);
  expect(buildTailnet(7, nodeCount)).toEqual(tailnet);
  expect(tailnet.nodes.length).toBe(nodeCount);
  const of = (value: (node: (typeof tailnet.nodes)[number]) => string) => new Set(tailnet.nodes.map(value)).size;
  expect([
    of(({ ipv4 }) => ipv4),
    of(({ ipv6 }) => ipv6),
    of(({ publicEndpoint }) => publicEndpoint),
    of(({ description }) => description.name),
    of(({ description }) => description.nodeId),
  ]).toEqual([nodeCount, nodeCount, nodeCount, nodeCount, nodeCount]);
  const traffic = createTraffic(tailnet);
  const reporters = new Set(windows.slice(0, 5).flatMap((window) => traffic(window).map(({ event }) => event.nodeId)));
  expect(reporters.size).toBeGreaterThan(nodeCount / 2);
  expect(windows.flatMap((window) => changesIn(tailnet, window)).length).toBeGreaterThan(10);
});

test("a larger tailnet has several sites, and most of its traffic stays within one", () => {
  const tailnet = buildTailnet(7, 500);
  const siteOf = new Map(tailnet.nodes.map(({ site, description }) => [description.name, site]));
  const pairs = windows
    .slice(0, 3)
    .flatMap((window) =>
      createTraffic(tailnet)(window).flatMap(({ event: { srcNode, dstNodes = [] } }) =>
        dstNodes.map(({ name }) => siteOf.get(name) === siteOf.get(srcNode.name)),
      ),
    );
  const share = pairs.filter((isNear) => isNear).length / pairs.length;
  expect(share).toBeGreaterThan(0.75);
  expect(share).toBeLessThan(1);
});

test("five minutes have mishaps of every kind, and events of both severities", () => {
  const tailnet = buildTailnet(7);
  const mishaps = windows.flatMap((window) => mishapsIn(tailnet, window));
  expect(mishaps.length).toBe(6);
  expect(windows.flatMap((window) => mishapsIn(tailnet, window))).toEqual(mishaps);
  const events = windows.flatMap((window) => [...visitsIn(tailnet, window), ...noticesIn(tailnet, window)]).flat();
  const types = new Set(events.map(({ type }) => type));
  expect([...types]).toEqual(
    expect.arrayContaining([
      "nodeNeedsApproval",
      "nodeDeleted",
      "policyUpdate",
      "userRoleUpdated",
      "userNeedsApproval",
    ]),
  );
});
