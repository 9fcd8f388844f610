/** `schema` and `version`: commands that only print. */
import schema from "../../docs/config.schema.json" with { type: "json" };
import { build } from "../version.ts";
import { command, programName } from "./command.ts";
import { jsonFlag } from "./flags.ts";
import { jsonText } from "./terminal.ts";

export const schemaCommand = command({
  name: "schema",
  description: "Print the JSON Schema of the configuration file, for editors",
  args: {},
  examples: [["tailscale2otel schema > tailscale2otel.schema.json", "then name it in your editor's TOML settings"]],
  async run({ host }) {
    await host.out.write(jsonText(schema, 2));
  },
});

export const versionCommand = command({
  name: "version",
  description: "Print version, commit and build date",
  args: jsonFlag,
  examples: [
    ["tailscale2otel version", ""],
    ["tailscale2otel version --json", "for programs"],
  ],
  async run({ args, host }) {
    const { version, commit, date } = build;
    const details = [commit === "" ? "" : `commit ${commit}`, date === "" ? "" : `built ${date}`].filter(Boolean);
    const text = [`${programName} ${version}`, ...details].join(", ");
    await host.out.write(args.json === true ? jsonText(build) : `${text}\n`);
  },
});
