/** The settings of what comes in. */
import { boolean, bytes, choice, duration, integer, listen, route, secret, section, text } from "./setting.ts";

export const tailscale = section("The tailnet.", {
  tailnet: text({
    default: "-",
    pattern: "^[^\\x00-\\x20\\x7f]+$",
    example: '"example.com"',
    description:
      "The name of the tailnet, which every metric and log carries as `tailscale.tailnet`. `-`: not named, and left out.",
  }),
});

const source = (log: string) =>
  choice({
    choices: ["poll", "stream", "both"],
    default: "poll",
    description: `Which way ${log} come in. This build polls nothing: \`stream\` is the value that fits it, and needs \`streaming.enabled\`.`,
  });

export const collectors = section("The logs that are wanted.", {
  flowlogs: section("Network flow logs.", {
    enabled: boolean({
      default: true,
      description:
        "Whether flow logs are wanted. The receiver takes whatever Tailscale pushes to it all the same: what it should not get is switched off at Tailscale.",
    }),
    source: source("flow logs"),
    log_mode: choice({
      choices: ["per_connection", "per_record", "off"],
      default: "per_connection",
      description: "The log events of a flow record: one for each connection, one for the record, or none.",
    }),
  }),
  auditlogs: section("Configuration audit logs.", {
    enabled: boolean({ default: true, description: "Whether audit logs are wanted; as for flow logs." }),
    source: source("audit logs"),
  }),
});

export const streaming = section("The receiver for Tailscale's log streaming, in the form of a Splunk HEC endpoint.", {
  enabled: boolean({ default: false, description: "Whether the receiver runs.", example: "true" }),
  listen: listen({
    default: ":8088",
    description: "Where it listens: `host:port`, or `:port` for every interface, IPv4 and IPv6.",
  }),
  path: route({
    default: "/services/collector/event",
    description: "The path that takes records. The default also answers to the other paths of a Splunk HEC endpoint.",
  }),
  token: secret({
    description:
      "The token that Tailscale sends with each request, printable ASCII without spaces. Empty: everybody may send.",
    example: '"choose-a-long-random-text"',
  }),
  token_previous: secret({
    description: "Accepted as well, while a token is being changed.",
    example: '"the-text-before"',
  }),
  require_token: boolean({ default: false, description: "Whether an empty token is an error." }),
  decompress: choice({
    choices: ["auto", "gzip", "zstd", "none"],
    default: "auto",
    description: "How bodies are compressed. `auto`: as their `Content-Encoding` says; the others ignore that header.",
  }),
  max_body_bytes: bytes({
    default: "0",
    minimum: "-1",
    example: '"64MiB"',
    description:
      "The largest body, on the wire and decompressed. `0`: 64 MiB. `-1`: no limit but `max_inflight_bytes`.",
  }),
  max_inflight_bytes: bytes({
    default: "256MiB",
    minimum: "1MiB",
    description: "The most bytes of all bodies that are being read or processed at once; more is told to come back.",
  }),
  max_concurrent_requests: integer({
    default: 16,
    minimum: 1,
    maximum: 1024,
    description: "How many requests are parsed and committed at once.",
  }),
  request_timeout: duration({
    default: "30s",
    minimum: "100ms",
    maximum: "1h",
    description: "How long a body may take to arrive.",
  }),
});
