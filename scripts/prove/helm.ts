/** The Helm chart, by the real helm: it lints, refuses values that it does not know, and renders what the program accepts. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { buildGoProgram, type GoProgram } from "../../test/support/go-build.ts";
import { programBinary } from "../../test/support/binary.ts";
import { rootDir } from "../build/stamp.ts";

const helmProgram: GoProgram = {
  name: "helm",
  module: "helm.sh/helm/v3",
  version: "v3.22.0",
  main: "helm.sh/helm/v3/cmd/helm",
};

interface Manifest {
  readonly kind: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: { readonly ports?: readonly { readonly name: string; readonly port: number }[] };
}

const chart = join(rootDir, "contrib/helm/tailscale2otel");
const helm = buildGoProgram(helmProgram);
/** The built program does not know its own Kubernetes version. */
const render = ["template", "release", chart, "--kube-version=1.34.0"];

say(
  expectSuccess(helm, ["lint", "--strict", chart])
    .split("\n")
    .findLast((line) => line.includes("linted")) ?? "",
);
for (const value of ["service.streamPort=text", "sevice.type=NodePort", "persistence.size="]) {
  const { status, stderr } = spawnSync(helm, [...render, "--set", value], { encoding: "utf8" });
  if (status === 0) throw new Error(`--set ${value} is accepted`);
  say(`--set ${value}: ${stderr.split("\n").find((line) => line.startsWith("- at")) ?? stderr}`);
}
for (const values of [[], ["service.webhookPort=8089", "secret=", "persistence.storageClass=fast"]]) {
  const manifests = rendered(values);
  const kinds = manifests.map(({ kind }) => kind).join(", ");
  const ports = manifests.flatMap(({ spec }) => spec?.ports?.map(({ name, port }) => `${name} ${port}`) ?? []);
  say(`renders ${kinds} with ${ports.join(", ")}`);
  const config = manifests.find(({ kind }) => kind === "ConfigMap")?.data?.["config.toml"] ?? "";
  say(checkConfig(config));
}

function rendered(values: readonly string[]): readonly Manifest[] {
  const text = expectSuccess(helm, [...render, ...values.flatMap((value) => ["--set", value])]);
  return parseAllDocuments(text).map((document) => {
    const [problem] = document.errors;
    if (problem !== undefined) throw problem;
    return document.toJS() as Manifest;
  });
}

/** What `check` says of the configuration with the token that the Secret has. */
function checkConfig(config: string): string {
  const folder = mkdtempSync(join(tmpdir(), "helm-"));
  try {
    const path = join(folder, "config.toml");
    writeFileSync(path, config);
    const environment = { TS2OTEL_STREAMING__TOKEN: "test-token", TS2OTEL_STATE__PATH: join(folder, "state") };
    return (
      expectSuccess(programBinary(), ["check", "--changed", "--config", path], environment).trim().split("\n").at(-1) ??
      ""
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function expectSuccess(
  command: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): string {
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: "utf8",
    env: { ...process.env, ...environment },
  });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status}: ${stdout}${stderr}`);
  return stdout;
}

function say(text: string): void {
  process.stdout.write(`  ${text}\n`);
}
