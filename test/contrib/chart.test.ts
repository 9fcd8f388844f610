/** The Helm chart: the real helm lints it and renders what the program accepts, and its facts match those elsewhere. */
import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse, parseAllDocuments } from "yaml";
import metadata from "../../package.json" with { type: "json" };
import { programBinary } from "../support/binary.ts";
import { buildGoProgram, canHave } from "../support/go-build.ts";
import { helmProgram } from "../support/helm-build.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { timeoutMs } from "../support/wait.ts";

interface Manifest {
  readonly kind: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: { readonly ports?: readonly { readonly name: string; readonly port: number }[] };
}

const root = resolve(import.meta.dirname, "../..");
const read = (name: string) => readFileSync(join(root, "contrib", name), "utf8");

test("the chart has the version of the program", () => {
  const { version, appVersion } = parse(read("helm/tailscale2otel/Chart.yaml")) as Record<string, string>;
  expect([version, appVersion]).toEqual([metadata.version, metadata.version]);
});

test("the schema has each value, and no others except what helm adds", () => {
  const values = parse(read("helm/tailscale2otel/values.yaml")) as Record<string, unknown>;
  const { properties } = JSON.parse(read("helm/tailscale2otel/values.schema.json")) as { properties: object };
  expect(
    Object.keys(properties)
      .filter((key) => key !== "global")
      .toSorted(),
  ).toEqual(Object.keys(values).toSorted());
});

test("the pod has the user and the volume of the image", () => {
  const [, user = ""] = /^USER (\d+):/m.exec(read("container/Containerfile")) ?? [];
  const [, volume = ""] = /^VOLUME (\S+)$/m.exec(read("container/Containerfile")) ?? [];
  const pod = read("helm/tailscale2otel/templates/statefulset.yaml");
  for (const key of ["runAsUser", "runAsGroup", "fsGroup"]) expect(pod).toMatch(new RegExp(`\\b${key}: ${user}\\b`));
  expect(pod).toContain(`{ name: state, mountPath: ${volume} }`);
});

describe.skipIf(process.env.CI === undefined && !canHave(helmProgram))("helm", () => {
  const chart = join(root, "contrib/helm/tailscale2otel");
  const helm = (...args: string[]) => spawnSync(buildGoProgram(helmProgram), args, { encoding: "utf8" });
  /** Sets a Kubernetes version, because helm built as a module has none. */
  const render = (...values: string[]) =>
    helm("template", "release", chart, "--kube-version=1.34.0", ...values.flatMap((value) => ["--set", value]));

  test(
    "lints the chart without a warning",
    () => {
      const { status, stdout } = helm("lint", "--strict", chart);
      expect([status, stdout]).toEqual([0, expect.stringContaining("1 chart(s) linted, 0 chart(s) failed")]);
    },
    timeoutMs,
  );

  test.each([
    ["service.streamPort=text", "at '/service/streamPort': got string, want integer"],
    ["sevice.type=NodePort", "additional properties 'sevice' not allowed"],
    ["persistence.size=", "at '/persistence/size': minLength: got 0, want 1"],
  ])("refuses %p", (value, reason) => {
    const { status, stderr } = render(value);
    expect([status, stderr]).toEqual([1, expect.stringContaining(reason)]);
  });

  test.each([
    [[], ["stream 8088"]],
    [
      ["service.webhookPort=8089", "secret=", "persistence.storageClass=fast"],
      ["stream 8088", "webhook 8089"],
    ],
  ])("with %p renders what the program accepts", (values, ports) => {
    const documents = parseAllDocuments(render(...values).stdout);
    expect(documents.flatMap(({ errors }) => errors)).toEqual([]);
    const manifests = documents.map((document) => document.toJS() as Manifest);
    expect(manifests.map(({ kind }) => kind)).toEqual(["ConfigMap", "Service", "StatefulSet"]);
    const [configMap, service] = manifests;
    expect(service?.spec?.ports?.map(({ name, port }) => `${name} ${port}`)).toEqual(ports);
    const folder = temporaryDirectory();
    const path = join(folder, "config.toml");
    writeFileSync(path, configMap?.data?.["config.toml"] ?? "");
    const env = { TS2OTEL_STREAMING__TOKEN: "test-token", TS2OTEL_STATE__PATH: join(folder, "state") };
    const checked = spawnSync(programBinary(), ["check", "--strict", "--config", path], { encoding: "utf8", env });
    expect([checked.status, checked.stdout]).toEqual([0, expect.stringContaining("0 problems, 0 warnings")]);
  });
});
