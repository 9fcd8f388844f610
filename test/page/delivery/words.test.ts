/** The texts of the view *Delivery*: sums, levels, certificates, losses, and the search in the configuration. */
import { describe, expect, test } from "bun:test";
import type { ShownSetting } from "../../../src/admin/instance.ts";
import type { Status } from "../../../src/admin/status.ts";
import { flowOf, meanings, sumsOf, verdictOf } from "../../../src/page/delivery/sums.ts";
import { chosenFilter, destinationsIn, reasonsIn, retriesOf } from "../../../src/page/delivery/selection.ts";
import { foundSettings, spansOf } from "../../../src/page/delivery/setting-search.ts";
import { certificateText, levelOf, levelOfDestination, lossOf, reasonText } from "../../../src/page/delivery/words.ts";
import { emptyStatus } from "../../support/status.ts";

const sums: Status["conservation"] = {
  received: 106,
  accepted: 100,
  duplicate: 3,
  skipped: 2,
  quarantined: 1,
  delivered: 90,
  pending: 8,
  deadLettered: 2,
  lost: 0,
  uncounted: 0,
};
const current = { kind: "current" } as const;

describe("the sums", () => {
  test("hold term by term, without the terms that only damage causes", () => {
    const [received, accepted] = sumsOf(sums);
    expect([received.holds, accepted.holds]).toEqual([true, true]);
    expect(received.right.map(({ amount }) => amount)).toEqual([100, 3, 2, 1]);
    expect(accepted.right.map(({ name }) => name)).toEqual(["delivered", "pending", "dead-lettered"]);
    expect(verdictOf(sums, current)).toEqual({ kind: "ok", text: "The sums hold: every record is accounted for" });
    expect(verdictOf(emptyStatus.conservation, current).kind).toBe("ok");
  });

  test("of a damaged journal include the terms for damage", () => {
    const damaged = { ...sums, uncounted: 5, lost: 4, delivered: 91 };
    const [, accepted] = sumsOf(damaged);
    expect(accepted.holds).toBe(true);
    expect(accepted.left.map(({ name }) => name)).toEqual(["accepted", "uncounted"]);
    expect(flowOf(damaged)).toMatchObject({ extra: { amount: 5 }, source: { amount: 106 } });
    expect(flowOf(damaged).second.at(-1)).toEqual({ name: "lost", amount: 4 });
  });

  test("that do not add up are reported, except while counters are being restored", () => {
    const broken = { ...sums, accepted: 99 };
    expect(verdictOf(broken, current).kind).toBe("bad");
    expect(verdictOf({ ...sums, pending: 9 }, current).kind).toBe("bad");
    expect(verdictOf(broken, { kind: "restoring", measuredRow: 3, lastRow: 9 })).toEqual({
      kind: "warn",
      text: "Counters restoring, row 3 of 9; the sums are incomplete",
    });
  });

  test("use no term without an explanation", () => {
    const all = sumsOf({ ...sums, uncounted: 5, lost: 4 }).flatMap(({ left, right }) => [...left, ...right]);
    for (const { name } of all) expect(meanings[name]).toBeString();
  });
});

test("a signal is ok, failing, without any success, or off", () => {
  expect(levelOf({ kind: "idle" })).toBe("ok");
  expect(levelOf({ kind: "ok", leftOut: 3 })).toBe("warn");
  expect(levelOf({ kind: "waiting", why: "HTTP 503" })).toBe("warn");
  expect(levelOf({ kind: "refusing", why: "HTTP 400" })).toBe("bad");
  expect(levelOf({ kind: "disabled" })).toBe("off");
  const of = { logs: { kind: "idle" }, metrics: { kind: "failing", why: "no" } };
  expect(levelOfDestination({ export: of })).toBe("warn");
  expect(levelOfDestination({ export: { logs: { kind: "local" }, metrics: { kind: "disabled" } } })).toBe("off");
  expect(levelOfDestination({})).toBe("off");
});

test.each([
  [60, "ok", "valid for 60 days"],
  [14, "ok", "valid for 14 days"],
  [13.9, "warn", "valid for 13 days"],
  [1.2, "warn", "valid for 1 day"],
  [-0.5, "bad", "expired 1 day ago"],
  [-3.5, "bad", "expired 4 days ago"],
] as const)("a certificate with %d days left is %s: %s", (days, level, text) => {
  const now = Date.UTC(2026, 10, 2);
  expect(certificateText(new Date(now + days * 86_400_000).toISOString(), now)).toEqual({ level, text });
});

const counts = [
  { class: "invalid", reason: "decode_error", items: 1200 },
  { class: "invalid", reason: "inverted_window", items: 1 },
  { class: "sample", reason: "unclassified", items: 2 },
  { class: "dead_letter", reason: "rejected", items: 1 },
] as const;

test("a deletion says what is lost in each class, and what is kept", () => {
  expect(lossOf(counts, "keep")).toEqual([
    "Not deleted: 1 dead letter, accepted records that exist nowhere else.",
    "1,201 invalid records: never accepted, and without their text they cannot be retried.",
    "2 samples of unknown kinds.",
  ]);
  expect(lossOf(counts, "delete")[0]).toBe(
    "1 dead letter: accepted records that exist nowhere else. They can never be delivered then.",
  );
});

test("a reason unknown to this version is shown as is, without characters that could hide something", () => {
  expect(reasonText("too_large")).toBe("it is too large for the backend (413)");
  expect(reasonText("\u202Enew")).toBe("?new");
  expect(reasonText("constructor")).toBe("constructor");
  expect(reasonText("x".repeat(500))).toHaveLength(60);
});

describe("the filter of quarantine", () => {
  test("takes known parameters from the address and ignores the rest", () => {
    const given = { class: "invalid", type: "audit", reason: "decode_error", destination: "archive", id: "x" };
    const { id: _, ...known } = given;
    expect(chosenFilter(given)).toEqual(known as object);
    expect(chosenFilter({ class: "all", type: "<b>", reason: "", destination: "" })).toEqual({});
  });

  test("retries everything that matches with one request per retryable class that is present", () => {
    expect(retriesOf({}, counts)).toEqual([{ class: "invalid" }, { class: "dead_letter" }]);
    expect(retriesOf({ class: "dead_letter", reason: "rejected" }, counts)).toEqual([
      { class: "dead_letter", reason: "rejected" },
    ]);
    expect(retriesOf({ class: "sample" }, counts)).toEqual([]);
    expect(retriesOf({}, [])).toEqual([]);
  });

  test("offers the reasons that occur, and the chosen one", () => {
    expect(reasonsIn(counts, "gone")).toEqual(["decode_error", "gone", "inverted_window", "rejected", "unclassified"]);
  });
});

test("offers the configured destinations, and the chosen one", () => {
  expect(destinationsIn(["archive"], undefined)).toEqual(["primary", "archive"]);
  expect(destinationsIn(["archive"], "gone")).toEqual(["primary", "archive", "gone"]);
  expect(destinationsIn([], "primary")).toEqual(["primary"]);
});

describe("the search in the configuration", () => {
  const row = (key: string, more: Partial<ShownSetting> = {}): ShownSetting => ({
    key,
    value: '""',
    origin: "default",
    isDefault: true,
    description: "Base URL.",
    ...more,
  });
  const rows = [
    row("otlp.endpoint", { value: '"http://example.com"', origin: "tailscale2otel.toml:3", isDefault: false }),
    row("otlp.logs.endpoint"),
    row("state.path", { description: "Directory" }),
  ];
  const found = (text: string, isOnlySet = false) => foundSettings(rows, text, isOnlySet).map(({ key }) => key);

  test("finds every word anywhere in the row, whatever its case", () => {
    expect(found("")).toHaveLength(3);
    expect(found("ENDPOINT otlp")).toEqual(["otlp.endpoint", "otlp.logs.endpoint"]);
    expect(found("example.com")).toEqual(["otlp.endpoint"]);
    expect(found("toml:3 base")).toEqual(["otlp.endpoint"]);
    expect(found("directory")).toEqual(["state.path"]);
    expect(found("otlp nowhere")).toEqual([]);
  });

  test("shows only settings that are set, if asked to", () => {
    expect(found("", true)).toEqual(["otlp.endpoint"]);
  });

  test("tells code from text in a description", () => {
    expect(spansOf("`all` or `none`.")).toEqual([
      { isCode: true, text: "all" },
      { isCode: false, text: " or " },
      { isCode: true, text: "none" },
      { isCode: false, text: "." },
    ]);
  });
});
