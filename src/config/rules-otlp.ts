/** Rules for destinations: the primary one and those of `[[otlp.also]]`. */
import type { Rule } from "./diagnosis.ts";
import { type AlsoConfig, type Config, valueAt } from "./schema.ts";
import { primaryDestination } from "./words.ts";
import { displayUrl } from "./values.ts";

const signals = ["metrics", "logs"] as const;

/** Names become labels of metrics and arguments of commands. */
export const nameShape = /^[a-z0-9][a-z0-9_-]{0,31}$/;

/** Rules for two settings that must be set together. */
export function together(config: Config, section: string, one: string, other: string): readonly Rule[] {
  return [
    [`${section}.${one}`, `${section}.${other}`] as const,
    [`${section}.${other}`, `${section}.${one}`] as const,
  ].map(([present, missing]): Rule => ({
    severity: "error",
    keys: [present, missing],
    when: Boolean(valueAt(config, present)) && valueAt(config, missing) === "",
    message: `it is set, but ${missing} is not`,
    remedy: `Set ${missing} too, or remove ${present}.`,
  }));
}

/** Creates errors about single settings of a table. `at`: the key of the table. */
export const errorsOf =
  (at: string) =>
  (name: string, isWrong: boolean, message: string, remedy: string): Rule => ({
    severity: "error",
    keys: [`${at}.${name}`],
    when: isWrong,
    message,
    remedy,
  });

/** Rules for every destination. `at`: its section. */
function rulesAt(config: Config, at: string, destination: Config["otlp"] | AlsoConfig): readonly Rule[] {
  const { endpoint } = destination;
  const isSent = destination.protocol !== "stdout";
  return [
    ...together(config, `${at}.tls`, "cert_file", "key_file"),
    ...together(config, `${at}.grafana_cloud`, "instance_id", "token"),
    {
      severity: "error",
      keys: [`${at}.endpoint`],
      when: /\/v1(?:\/(?:logs|metrics))?\/?$/.test(endpoint),
      message: "it ends with a path of OTLP, but /v1/logs and /v1/metrics are appended to it",
      remedy: `Remove the path from /v1 on, or set ${at}.logs.endpoint or ${at}.metrics.endpoint instead.`,
    },
    {
      severity: "warning",
      keys: [`${at}.endpoint`],
      when: isSent && /^https?:\/\/[^/?#]*:4317(?:[/?#]|$)/i.test(endpoint),
      message: "port 4317 is usually OTLP over gRPC, which is not supported",
      remedy: "Use the port for OTLP over HTTP, usually 4318.",
    },
    {
      severity: "warning",
      keys: [`${at}.tls.insecure_skip_verify`],
      when: destination.tls.insecure_skip_verify,
      message:
        "the backend's certificate is not verified, so anyone in between can read everything, including credentials",
      remedy: `Set ${at}.tls.ca_file to the CA to trust instead.`,
    },
    ...signals.map((signal): Rule => {
      const { endpoint: own } = destination[signal];
      return {
        severity: "warning",
        keys: [`${at}.${signal}.endpoint`],
        when: isSent && /^https?:\/\/[^/?#]*\/?$/i.test(own),
        message: "it has no path, and it is used as written",
        remedy: `Did you mean ${displayUrl(own).replace(/\/$/, "")}/v1/${signal}? Or set ${at}.endpoint, to which /v1/${signal} is appended.`,
      };
    }),
  ];
}

/** Rules for an additional destination only. */
function rulesOfAlso(one: AlsoConfig, index: number, config: Config): readonly Rule[] {
  const at = `otlp.also.${index}`;
  const { name, types, endpoint, logs, metrics } = one;
  const error = errorsOf(at);
  return [
    ...rulesAt(config, at, one),
    error(
      "name",
      name === "",
      "the destination has no name",
      `Set ${at}.name, for example to "archive". Tables are numbered from 0 without a gap.`,
    ),
    error(
      "name",
      name !== "" && !nameShape.test(name),
      "invalid name of a destination",
      "Use 1 to 32 lower-case letters, digits, - and _, beginning with a letter or digit.",
    ),
    error(
      "name",
      name === primaryDestination,
      `${primaryDestination} is the destination of [otlp]`,
      "Use another name.",
    ),
    error(
      "name",
      name !== "" && config.otlp.also.findIndex((other) => other.name === name) < index,
      "another destination has this name",
      "Give each destination a name of its own.",
    ),
    error("types", types.length === 0, "the list is empty", `Name a type, or set ${at}.logs.enabled = false.`),
    error(
      "endpoint",
      endpoint === "" && signals.some((signal) => one[signal].enabled && one[signal].endpoint === ""),
      "the destination has no endpoint",
      `Set ${at}.endpoint, or for each signal ${at}.SIGNAL.endpoint or ${at}.SIGNAL.enabled = false.`,
    ),
    error(
      "logs.enabled",
      !logs.enabled && !metrics.enabled,
      "neither logs nor metrics are exported there",
      "Enable one of them, or remove the destination.",
    ),
  ];
}

/** Rules for all destinations. */
export function otlpRules(config: Config): readonly Rule[] {
  const { otlp } = config;
  return [
    ...rulesAt(config, "otlp", otlp),
    {
      severity: "error",
      keys: ["otlp.endpoint", "otlp.also.0.name"],
      when:
        otlp.also.length > 0 &&
        otlp.protocol !== "stdout" &&
        otlp.endpoint + otlp.logs.endpoint + otlp.metrics.endpoint === "",
      message: "there are further destinations, but no primary one",
      remedy: "Set otlp.endpoint, which is the primary destination; [[otlp.also]] is for additional ones.",
    },
    ...otlp.also.flatMap((one, index) => rulesOfAlso(one, index, config)),
  ];
}
