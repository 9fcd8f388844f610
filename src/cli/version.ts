/** `version`: which build this is. */
import { build } from "../version.ts";
import { command, programName } from "./command.ts";

export const versionCommand = command({
  name: "version",
  description: "Print version, commit and build date",
  args: { json: { type: "boolean", description: "One JSON object instead of text." } },
  examples: [
    ["tailscale2otel version", ""],
    ["tailscale2otel version --json", "for programs"],
  ],
  async run({ args, host }) {
    const { version, commit, date } = build;
    const details = [commit === "" ? "" : `commit ${commit}`, date === "" ? "" : `built ${date}`].filter(Boolean);
    const text = [`${programName} ${version}`, ...details].join(", ");
    await host.out.write(`${args.json ? JSON.stringify(build) : text}\n`);
    return 0;
  },
});
