/** Tests the catalogue's rules that the compiler cannot check. */
import { describe, expect, test } from "bun:test";
import { prometheusName } from "../../src/catalogue/definition.ts";
import { type MetricDefinition, metrics } from "../../src/catalogue/metrics.ts";
import { auditActions, auditOrigins, wordOf } from "../../src/catalogue/vocabulary.ts";

const definitions: [string, MetricDefinition][] = Object.entries(metrics);

test("names begin with tailscale, tailscale2otel or process, and are in lower case with dots", () => {
  for (const [name] of definitions) expect(name).toMatch(/^(tailscale(2otel)?|process)(\.[a-z_]+)+$/);
});

describe.each(definitions)("%s", (_, { origin, kind, unit, description, attributes, buckets }) => {
  test("has a unit, a sentence, and distinct values", () => {
    expect(unit).toMatch(/^(By|s|1|\{[a-z_]+\})$/);
    expect(description).toMatch(/^[A-Z0-9].*\.$/);
    for (const domain of Object.values(attributes)) {
      if (Array.isArray(domain)) expect(new Set(domain).size).toBe(domain.length);
    }
  });

  test("is a counter or a gauge if the ledger keeps it, and has buckets if it is a histogram", () => {
    if (origin === "ledger") expect(["counter", "gauge"]).toContain(kind);
    expect(buckets !== undefined).toBe(kind === "histogram");
    expect(buckets).toEqual(buckets?.toSorted((a, b) => a - b));
  });
});

test.each([
  ["a.io", "counter", "By", "a_io_bytes_total"],
  ["a.bytes_sent", "total", "By", "a_bytes_sent_total"],
  ["a.up", "gauge", "1", "a_up_ratio"],
  ["a.errors", "counter", "1", "a_errors_total"],
  ["a.inflight", "updown", "{request}", "a_inflight"],
  ["a.duration", "histogram", "s", "a_duration_seconds"],
] as const)("%s, a %s of %s, is %s in Prometheus", (name, kind, unit, expected) => {
  expect(prometheusName(name, { kind, unit })).toBe(expected);
});

test("a word outside the vocabulary is other", () => {
  expect(wordOf(auditActions, "CREATE")).toBe("CREATE");
  expect(["ENTANGLE", "create", "", "other"].map((word) => wordOf(auditActions, word))).toEqual([
    "other",
    "other",
    "other",
    "other",
  ]);
  expect(auditActions).toHaveLength(27);
  expect(auditOrigins).toHaveLength(11);
});
