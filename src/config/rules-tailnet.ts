/** Rules for `[[tailnet]]`: what distinguishes the tailnets, and what they must not share. */
import type { Rule } from "./diagnosis.ts";
import { errorsOf, nameShape } from "./rules-otlp.ts";
import { type Config, settings, type TailnetSection, valueAt } from "./schema.ts";
import { overriddenBy } from "./schema-tailnet.ts";
import { schemaOf } from "./tailnets.ts";

/** Credentials in a request that identify its tailnet, so no two tailnets may share them. */
const identifying = [
  ["streaming", ["token", "token_previous"], "token", "Give each tailnet a token of its own."],
  [
    "webhook",
    ["secret", "secret_previous"],
    "secret",
    "Set each to the secret that Tailscale showed for the webhook of that tailnet.",
  ],
] as const;

const maxIdentifierLength = 63;

/** Rules for one section, including conflicts with earlier ones. `shared`: the configuration of all tailnets. */
function rulesOfSection(section: TailnetSection, index: number, shared: Config): readonly Rule[] {
  const at = `tailnet.${index}`;
  const { name } = section;
  const earlier = shared.tailnet.slice(0, index);
  const schema = schemaOf(shared.state.schema, name);
  const error = errorsOf(at);
  return [
    error(
      "name",
      name === "",
      "the tailnet has no name",
      `Set ${at}.name, for example to "acme". Tables are numbered from 0 without a gap.`,
    ),
    error(
      "name",
      name !== "" && !nameShape.test(name),
      "invalid name of a tailnet",
      "Use 1 to 32 lower-case letters, digits, - and _, beginning with a letter or digit: it becomes part of a path.",
    ),
    error(
      "name",
      name !== "" && earlier.some((other) => schemaOf("", other.name) === schemaOf("", name)),
      "another tailnet has this name",
      "Give each tailnet a name of its own. In a database, - and _ are the same.",
    ),
    {
      severity: "error",
      keys: ["state.schema", `${at}.name`],
      when: schema.length > maxIdentifierLength,
      message: `${schema} is longer than the ${maxIdentifierLength} characters that PostgreSQL keeps of a schema's name`,
      remedy: "Shorten state.schema.",
    },
    {
      severity: "warning",
      keys: [`${at}.tailscale.auth`],
      when: earlier.some((other) => asksTheSame(section, other)),
      message: "another tailnet has these credentials, so both read the logs and devices of the same tailnet",
      remedy: "Give each tailnet credentials of its own.",
    },
    ...(["streaming", "webhook"] as const).map((receiver) =>
      error(
        `${receiver}.enabled`,
        section[receiver].enabled && !shared[receiver].enabled,
        `it is true, but the listener is off: ${receiver}.enabled is false`,
        `Set ${receiver}.enabled = true.`,
      ),
    ),
    ...identifying.flatMap(([receiver, names, what, remedy]) =>
      names.map((secret) => {
        const valuesOf = (of: TailnetSection) => of[receiver] as Readonly<Record<string, unknown>>;
        const own = valuesOf(section)[secret];
        return error(
          `${receiver}.${secret}`,
          own !== "" && earlier.some((other) => names.some((one) => valuesOf(other)[one] === own)),
          `another tailnet has this ${what}, so it does not say which of them a request is about`,
          remedy,
        );
      }),
    ),
  ];
}

/** True if both query the same tailnet with the same credentials. */
function asksTheSame({ tailscale: one }: TailnetSection, { tailscale: other }: TailnetSection): boolean {
  const { oauth, apikey } = one.auth;
  if (one.tailnet !== other.tailnet) return false;
  return (
    (oauth.client_id !== "" && oauth.client_id === other.auth.oauth.client_id) ||
    (apikey !== "" && apikey === other.auth.apikey)
  );
}

/** Credentials, tokens and secrets belong to one tailnet, so with several they must be in its section. */
const singleTailnetRules = (config: Config): readonly Rule[] =>
  settings.flatMap((setting): readonly Rule[] => {
    const key = setting.item?.index === 0 ? overriddenBy(setting) : undefined;
    if (key === undefined || !["secret", "text"].includes(setting.kind)) return [];
    return [
      {
        severity: "error",
        keys: [key],
        when: config.tailnet.length > 0 && valueAt(config, key) !== setting.default,
        message: "there are [[tailnet]] sections, and this belongs to one tailnet",
        remedy: `Set ${key} in the section of that tailnet instead: ${setting.key} is that of the first.`,
      },
    ];
  });

/** Rules for the configuration of all tailnets. */
export const tailnetRules = (config: Config): readonly Rule[] => [
  ...config.tailnet.flatMap((section, index) => rulesOfSection(section, index, config)),
  ...singleTailnetRules(config),
  {
    severity: "error",
    keys: ["privacy.tailnet_name", "tailnet.0.name"],
    when: config.tailnet.length > 1 && config.privacy.tailnet_name === "drop",
    message: "it is drop, and only the name tells the metrics of several tailnets apart",
    remedy: 'Use "hash", or "keep" with names that say nothing.',
  },
];
