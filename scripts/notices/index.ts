/** `THIRD-PARTY-NOTICES.txt`: the licenses of everything inside the binary. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pageEntries } from "../../src/admin/page/bundle.ts";
import { runtimeNotice, runtimeParts } from "./bun.ts";

const rootDir = join(import.meta.dirname, "../..");
const rule = `\n\n${"=".repeat(100)}\n\n`;

interface BundledPackage {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly text: string;
}

/** The complete text. @throws {Error} if the program cannot be bundled, or a package has no license. */
export async function thirdPartyNotices(): Promise<string> {
  const packages = (await bundledPackages()).map(readPackage);
  const texts = Map.groupBy(packages, ({ text }) => text);
  const sections = [...texts].map(([text, group]) => {
    const names = group.map(({ name, version, license }) => `${name} ${version} (${license})`).join("\n");
    return `${names}\n\n${text}`;
  });
  const parts = runtimeParts.map(
    ({ name, license, copyright, source }) => `${name} (${license})\n  ${copyright}\n  ${source}`,
  );
  const licenses = [...new Set(runtimeParts.flatMap(({ license }) => licensesIn(license)))];
  const standard = licenses
    .filter((license) => license !== "Apache-2.0")
    .map((license) => `The license ${license}\n\n${licenseText(license)}`);
  return [
    "tailscale2otel is licensed under the Apache License 2.0. Its binary contains the software below, under these licenses.",
    ...sections,
    `${runtimeNotice}\n\nThe runtime links:\n\n${parts.join("\n\n")}`,
    ...standard,
    "The license Apache-2.0 is the first one in this file; the LLVM exception to it permits the use of compiled parts without\nits conditions 4(a), 4(b) and 4(d).",
  ]
    .join(rule)
    .concat("\n");
}

/** The names of the packages that are compiled into the program and into the page inside it. */
export async function bundledPackages(): Promise<readonly string[]> {
  const [program, table, page] = await Promise.all([
    packagesIn({ entrypoints: ["main.ts"], target: "bun", external: ["*/THIRD-PARTY-NOTICES.txt"] }),
    // Run by the bundler, which includes only its result in the program.
    packagesIn({ entrypoints: ["processors/ports.ts"], target: "bun" }),
    packagesIn({ entrypoints: pageEntries.map((name) => `page/${name}`), target: "browser" }),
  ]);
  return [...new Set([...program, ...table, ...page])].sort();
}

/** `entrypoints` are relative to `src/`. */
async function packagesIn({ entrypoints, ...config }: Bun.BuildConfig): Promise<readonly string[]> {
  const paths = entrypoints.map((name) => join(rootDir, "src", name));
  const { success, metafile } = await Bun.build({ ...config, entrypoints: paths, metafile: true });
  if (!success || metafile === undefined) throw new Error(`${entrypoints.join(" and ")} cannot be bundled`);
  return Object.keys(metafile.inputs).flatMap((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []);
}

/** The SPDX identifiers in an expression. */
export function licensesIn(expression: string): readonly string[] {
  return expression.split(" AND ").map((license) => license.replace(/ WITH .*/, ""));
}

function readPackage(name: string): BundledPackage {
  const folder = join(rootDir, "node_modules", name);
  const { version, license, author } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
    version: string;
    license: string;
    author?: string | { name: string };
  };
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (file !== undefined) return { name, version, license, text: readFileSync(join(folder, file), "utf8").trim() };
  const holder = typeof author === "string" ? author : (author?.name ?? `the authors of ${name}`);
  return { name, version, license, text: `Copyright (c) ${holder}\n\n${licenseText(license)}` };
}

/** The license text by SPDX, without its copyright line. @throws {Error} if it is not in `licenses/`. */
function licenseText(license: string): string {
  const path = join(import.meta.dirname, "licenses", `${license}.txt`);
  return readFileSync(path, "utf8")
    .replace(/^Copyright \(c\) <.*\n\n/m, "")
    .trim();
}
