/** Settings of `[[tailnet]]`, the differences between the tailnets one process serves, named like those of a single tailnet. */
import { collectors, streaming, tailscale, webhook } from "./schema-inputs.ts";
import { arrayOf, boolean, map, section, type Setting, text } from "./setting.ts";

/** Maximum number of tailnets. */
export const maxTailnets = 32;

const { auth } = tailscale.properties;
const { oauth } = auth.properties;
const { flowlogs, auditlogs } = collectors.properties;

const ofLog = ({ enabled, source }: (typeof flowlogs | typeof auditlogs)["properties"]) => ({ enabled, source });

export const tailnets = arrayOf(
  section(
    "Several tailnets in one process, each in a table `[[tailnet]]` of its own (docs/tailnets.md). In variables and `--set`, they are numbered from 0. Each has a journal, cursors and counters of its own. A switch that is not set here is as in the table of the same name outside; credentials, tokens and secrets are set here only.",
    {
      name: text(
        "",
        "^[^\\x00-\\x1f\\x7f]*$",
        "Name in commands, in the paths of the receivers, in the state directory, and as the attribute `tailscale.tailnet`. Required and unique. Renaming a tailnet removes it and adds a new one.",
        '"acme"',
      ),
      tailscale: section("The tailnet in the API.", {
        tailnet: text(
          "-",
          "^[^\\x00-\\x20\\x7f]+$",
          "Tailnet name for API requests. `-` means the tailnet of the credentials.",
          '"example.com"',
        ),
        auth: section(auth.description ?? "", {
          apikey: auth.properties.apikey,
          oauth: section(oauth.description ?? "", {
            client_id: oauth.properties.client_id,
            client_secret: oauth.properties.client_secret,
          }),
        }),
      }),
      collectors: section("What to read from the API.", {
        flowlogs: section("Network flow logs.", ofLog(flowlogs.properties)),
        auditlogs: section("Configuration audit logs.", ofLog(auditlogs.properties)),
      }),
      streaming: section("The receiver for Tailscale log streaming, whose listener all tailnets share.", {
        enabled: boolean(true, "Accept records of this tailnet.", "false"),
        token: streaming.properties.token,
        token_previous: streaming.properties.token_previous,
        auto_configure: streaming.properties.auto_configure,
      }),
      webhook: section("The receiver for Tailscale webhooks, whose listener all tailnets share.", {
        enabled: boolean(true, "Accept events of this tailnet.", "false"),
        secret: webhook.properties.secret,
        secret_previous: webhook.properties.secret_previous,
        auto_configure: webhook.properties.auto_configure,
      }),
      resource: section("The OpenTelemetry resource.", {
        attributes: map(
          "attribute",
          "Resource attributes of this tailnet's metrics and logs, in addition to those of `[resource]` and overriding them.",
          '{ "deployment.environment.name" = "production" }',
        ),
      }),
    },
  ),
  maxTailnets,
);

/** The shared key that a setting of `[[tailnet]]` overrides; undefined for the name and for other settings. */
export function overriddenBy({ key, path, item }: Pick<Setting, "key" | "path" | "item">): string | undefined {
  return item?.array !== "tailnet" || path.length < 4 ? undefined : key.slice(`tailnet.${item.index}.`.length);
}
