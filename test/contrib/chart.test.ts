/** The Helm chart's facts that also stand elsewhere. helm itself renders it in `bun run prove helm`. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import metadata from "../../package.json" with { type: "json" };

const root = resolve(import.meta.dirname, "../..");
const read = (name: string) => readFileSync(join(root, "contrib", name), "utf8");

test("the chart has the version of the program", () => {
  const { version, appVersion } = parse(read("helm/tailscale2otel/Chart.yaml")) as Record<string, string>;
  expect([version, appVersion]).toEqual([metadata.version, metadata.version]);
});

test("each value has a place in the schema, and the schema names no other but what helm adds", () => {
  const values = parse(read("helm/tailscale2otel/values.yaml")) as Record<string, unknown>;
  const { properties } = JSON.parse(read("helm/tailscale2otel/values.schema.json")) as { properties: object };
  expect(
    Object.keys(properties)
      .filter((key) => key !== "global")
      .toSorted(),
  ).toEqual(Object.keys(values).toSorted());
});

test("the pod runs as the image's user, and its volume is the image's", () => {
  const [, user = ""] = /^USER (\d+):/m.exec(read("container/Containerfile")) ?? [];
  const [, volume = ""] = /^VOLUME (\S+)$/m.exec(read("container/Containerfile")) ?? [];
  const pod = read("helm/tailscale2otel/templates/statefulset.yaml");
  for (const key of ["runAsUser", "runAsGroup", "fsGroup"]) expect(pod).toMatch(new RegExp(`\\b${key}: ${user}\\b`));
  expect(pod).toContain(`{ name: state, mountPath: ${volume} }`);
});
