/** `bun run docs`: writes the generated pages of `docs/`; with `--check`, only says which of them have drifted. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { configJsonSchema, exampleFile, referencePage } from "./config-reference.ts";
import { hecPage, webhookPage } from "./receivers-reference.ts";
import { signalsPage } from "./signals-reference.ts";

interface Page {
  /** Inside `docs/`. */
  readonly name: string;
  readonly render: () => string;
}

const pages: readonly Page[] = [
  { name: "configuration.md", render: referencePage },
  { name: "configuration.example.toml", render: exampleFile },
  { name: "config.schema.json", render: () => JSON.stringify(configJsonSchema()) },
  { name: "hec.md", render: hecPage },
  { name: "webhook.md", render: webhookPage },
  { name: "signals.md", render: signalsPage },
];

const rootDir = join(import.meta.dirname, "..");

process.exitCode = main(process.argv.slice(2));

function main(args: readonly string[]): number {
  const [mode, ...rest] = args;
  if ((mode !== undefined && mode !== "--check") || rest.length > 0) {
    process.stderr.write("usage: bun run docs [--check]\n");
    return 64;
  }
  const drifted = pages
    .map(({ name, render }) => ({ name, text: formatted(name, render()) }))
    .filter(({ name, text }) => text !== present(name));
  for (const { name, text } of drifted) {
    if (mode === undefined) writeFileSync(join(rootDir, "docs", name), text);
    process.stdout.write(`docs/${name}: ${mode === undefined ? "written" : "drifted; run: bun run docs"}\n`);
  }
  return mode === "--check" && drifted.length > 0 ? 1 : 0;
}

function present(name: string): string | undefined {
  try {
    return readFileSync(join(rootDir, "docs", name), "utf8");
  } catch {
    return undefined;
  }
}

/** As the project's formatter would leave it, so that both checks can be green at once. */
function formatted(name: string, text: string): string {
  if (!/\.(md|json)$/.test(name)) return text;
  const result = spawnSync(process.execPath, ["fmt", "--no-script", `--stdin-filepath=docs/${name}`], {
    cwd: rootDir,
    input: text,
    encoding: "utf8",
  });
  if (result.status !== 0) throw new Error(`cannot format docs/${name}: ${result.stderr}`);
  return result.stdout;
}
