/** `schema`: the JSON Schema of the configuration file. */
import schema from "../../docs/config.schema.json" with { type: "json" };
import { command } from "./command.ts";

export const schemaCommand = command({
  name: "schema",
  description: "Print the JSON Schema of the configuration file, for editors",
  args: {},
  examples: [["tailscale2otel schema > tailscale2otel.schema.json", "then name it in your editor's TOML settings"]],
  async run({ host }) {
    await host.out.write(`${JSON.stringify(schema, undefined, 2)}\n`);
    return 0;
  },
});
