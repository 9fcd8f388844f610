/** Who talks the most: both ends of a flow count once, and what goes around the tunnel does not count. */
import { expect, test } from "bun:test";
import { topTalkers } from "../../src/demo/screen.ts";

function series(from: string, to: string, value: number, traffic = "virtual") {
  const attributes = { "tailscale.src.node": from, "tailscale.dst.node": to, "tailscale.traffic_type": traffic };
  return { attributes, value };
}

test("a pair that both ends report is shown once, with the larger report", () => {
  const talkers = topTalkers([series("web", "db", 100), series("web", "db", 20), series("db", "web", 90)], 5);
  expect(talkers).toEqual([{ from: "web", to: "db", bytes: 120 }]);
});

test("equal reports of both ends are shown once", () => {
  expect(topTalkers([series("web", "db", 100), series("db", "web", 100)], 5)).toEqual([
    { from: "web", to: "db", bytes: 100 },
  ]);
});

test("physical traffic, the folded rest and series without both names are left out", () => {
  const rest = { attributes: { "tailscale.src.node": "web" }, value: 7 };
  expect(topTalkers([series("a", "b", 5, "physical"), series("__other__", "__other__", 9), rest], 5)).toEqual([]);
});

test("the greatest come first, and no more than asked for", () => {
  const talkers = topTalkers([series("a", "b", 1), series("c", "d", 3), series("e", "f", 2)], 2);
  expect(talkers.map(({ from }) => from)).toEqual(["c", "e"]);
});
