/** Generates the software bill of materials of a release, in CycloneDX. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundledPackages } from "../notices/index.ts";
import { runtimeParts } from "../notices/bun.ts";
import { rootDir, type Stamp } from "../build/stamp.ts";
import { sourceDate } from "./packages.ts";

const generator = "@cyclonedx/cyclonedx-npm@4.0.3";

export interface Component {
  readonly type: string;
  readonly group?: string;
  readonly name: string;
  readonly version?: string;
  readonly scope?: string;
  readonly "bom-ref"?: string;
  readonly purl?: string;
  readonly licenses?: readonly unknown[];
  readonly copyright?: string;
  readonly components?: readonly Component[];
  readonly externalReferences?: readonly { readonly type: string; readonly url: string }[];
}

export interface Bom {
  readonly metadata: {
    readonly timestamp?: string;
    readonly tools: { readonly components: readonly Component[] };
    readonly component: Component;
  };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn?: readonly string[] }[];
}

/** The finished document, from a generator that npm downloads. @throws {Error} with the generator's output. */
export async function billOfMaterials(stamp: Stamp): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "ts2otel-sbom-"));
  try {
    const file = join(folder, "bom.json");
    const flags = ["--omit", "dev", "--output-reproducible", "--no-validate", "--output-file", file];
    // The generator's optional parts are compiled during installation, and are needed only for XML.
    const { status, stderr } = spawnSync("npx", ["-y", generator, ...flags], {
      cwd: rootDir,
      encoding: "utf8",
      env: { ...process.env, npm_config_omit: "optional" },
    });
    if (status !== 0) throw new Error(`${generator} failed: ${stderr}`);
    const bom = JSON.parse(readFileSync(file, "utf8")) as Bom;
    return `${JSON.stringify(completeBom(bom, await bundledPackages(), stamp), undefined, 2)}\n`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Adds the runtime with its parts and the date, and marks installed packages that the binary does not contain. Drops the other
 * tools, whose versions are those of the machine and would make every document differ.
 */
export function completeBom(bom: Bom, bundled: readonly string[], stamp: Stamp): Bom {
  const root = bom.metadata.component["bom-ref"];
  const runtime = runtimeComponent();
  const components = bom.components.map((component) => {
    const { group, name } = component;
    const fullName = group === undefined ? name : `${group}/${name}`;
    return bundled.includes(fullName) ? component : { ...component, scope: "excluded" };
  });
  const dependencies = bom.dependencies.map((entry) =>
    entry.ref === root ? { ...entry, dependsOn: [...(entry.dependsOn ?? []), runtime["bom-ref"]] } : entry,
  );
  const tools = bom.metadata.tools.components.filter(({ name }) => name === "cyclonedx-npm");
  return {
    ...bom,
    metadata: { ...bom.metadata, timestamp: sourceDate(stamp).toISOString(), tools: { components: tools } },
    components: [...components, runtime],
    dependencies: [...dependencies, { ref: runtime["bom-ref"] }],
  };
}

function runtimeComponent() {
  const version = Bun.version;
  return {
    type: "platform",
    name: "bun",
    version,
    "bom-ref": `bun@${version}`,
    purl: `pkg:github/oven-sh/bun@bun-v${version}`,
    licenses: [{ license: { id: "MIT" } }],
    externalReferences: [{ type: "vcs", url: "https://github.com/oven-sh/bun" }],
    components: runtimeParts.map(({ name, license, copyright, source }) => ({
      type: "library",
      "bom-ref": `bun@${version}|${name}`,
      name,
      licenses: [{ expression: license }],
      copyright,
      externalReferences: [{ type: "vcs", url: source }],
    })),
  };
}
