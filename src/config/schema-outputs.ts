/** The settings of what goes out. */
import { boolean, bytes, choice, duration, file, integer, listen, map, secret, section, text, url } from "./setting.ts";

export const cardinality = section("How many series the metrics may have.", {
  metric_limit: integer({
    default: 10_000,
    minimum: 1,
    maximum: 10_000_000,
    description:
      "The most series of one metric. Further attribute sets are added up in the series with `otel.metric.overflow=true`: totals stay exact.",
  }),
  series_ttl: duration({
    default: "24h",
    minimum: "1m",
    maximum: "365d",
    description: "How long a series without news is exported.",
  }),
  flow: section("The metrics of flow logs.", {
    metrics_mode: choice({
      choices: ["all", "rollup", "both"],
      default: "rollup",
      description: "`all`: every pair of nodes. `rollup`: the busiest pairs, and the rest as `__other__`. Or both.",
    }),
    rollup_top_n: integer({
      default: 500,
      minimum: 1,
      maximum: 8000,
      description: "How many pairs of nodes the rollup keeps apart in each interval.",
    }),
    source_port: boolean({
      default: false,
      description:
        "Whether the metrics of `all` carry the source port. Clients take a new one for each connection: very many series.",
    }),
    destination_port: boolean({
      default: false,
      description: "Whether the metrics of `all` carry the destination port.",
    }),
    node_dims: boolean({
      default: true,
      description: "Whether flow metrics carry the names of the source and the destination node.",
    }),
    identity_dims: boolean({
      default: false,
      description: "Whether flow metrics carry user, tags and system of both nodes.",
    }),
    collapse_external: boolean({
      default: true,
      description:
        "Whether addresses that belong to no known node are called `external` or `unknown`. `false` shows the addresses, and can make very many series.",
    }),
    exit_node_attribution: boolean({
      default: true,
      description: "Whether exit traffic is counted by the node that reports it, in metrics of its own.",
    }),
  }),
});

const hidden = (what: string) =>
  choice({ choices: ["keep", "drop", "hash"], default: "keep", description: `What becomes of ${what}.` });

export const privacy = section(
  "What leaves the state directory about people and machines: `keep` leaves it, `drop` leaves it out, `hash` puts a keyed hash in its place, which is the same for the same text for as long as the state directory lives. Counting is not changed by it.",
  {
    emails: hidden("e-mail addresses, logins and the names of people"),
    user_ids: hidden("the ids of users"),
    hostnames: hidden("the names of nodes"),
    node_ids: hidden("the ids of nodes"),
    tailscale_ips: hidden("addresses that Tailscale gives to nodes"),
    internal_ips: hidden("private addresses outside of that"),
    external_ips: hidden("public addresses"),
    tailnet_name: hidden("the name of the tailnet"),
    free_text: hidden(
      "texts that can hold anything: messages, details, errors, old and new values. Where they are kept, what the other settings hide is looked for in them",
    ),
  },
);

const headerName = (more: string) =>
  map({
    entry: "header",
    secrecy: "secret",
    example: '{ "X-Scope-OrgID" = "tenant-1" }',
    description: `${more} In a variable's name \`_\` stands for \`-\` too. Values are not shown.`,
  });

const signalEndpoint = (signal: string) =>
  url({
    description: `The full address for ${signal} where it differs. Used as written: nothing is appended.`,
    example: `"https://${signal}.example.com/otlp/v1/${signal}"`,
  });

const signalEnabled = (signal: string) => boolean({ default: true, description: `Whether ${signal} are sent at all.` });

export const otlp = section("Where metrics and logs go: any OTLP/HTTP endpoint.", {
  endpoint: url({
    description:
      "The base address; `/v1/logs` and `/v1/metrics` are appended. Empty: local mode, nothing is sent anywhere.",
    example: '"http://127.0.0.1:4318"',
  }),
  protocol: choice({
    choices: ["http/protobuf", "http/json", "stdout"],
    default: "http/protobuf",
    description:
      "The encoding of requests. It is never guessed. `stdout` writes OTLP JSON lines to standard output and sends nothing.",
  }),
  headers: headerName("Headers of every request."),
  compression: choice({ choices: ["gzip", "none"], default: "gzip", description: "How requests are compressed." }),
  timeout: duration({
    default: "10s",
    minimum: "100ms",
    maximum: "10m",
    description: "How long one request may take, from beginning to end.",
  }),
  metric_interval: duration({
    default: "60s",
    minimum: "100ms",
    maximum: "24h",
    description: "How often metrics are added up, saved and sent.",
  }),
  metrics: section("What is different for metrics.", {
    endpoint: signalEndpoint("metrics"),
    headers: headerName("Headers of metrics requests; they win over `otlp.headers`."),
    enabled: signalEnabled("metrics"),
  }),
  logs: section("What is different for logs.", {
    endpoint: signalEndpoint("logs"),
    headers: headerName("Headers of logs requests; they win over `otlp.headers`."),
    enabled: signalEnabled("logs"),
    max_records: integer({
      default: 5000,
      minimum: 1,
      maximum: 100_000,
      description: "The most log events in one request.",
    }),
    max_bytes: bytes({
      default: "4MiB",
      minimum: "16KiB",
      description: "The largest request, before it is compressed.",
    }),
    concurrency: integer({
      default: 2,
      minimum: 1,
      maximum: 64,
      description: "How many logs requests are under way at once.",
    }),
    record_uid: boolean({
      default: false,
      description:
        "Whether each log event carries `log.record.uid`, which stays the same when it is sent again, so that a backend can drop repeats.",
    }),
  }),
  tls: section("TLS towards the backend.", {
    ca_file: file({
      description: "Certificates (PEM) to trust instead of the system's.",
      example: '"/etc/tailscale2otel/ca.pem"',
    }),
    cert_file: file({
      description: "The client's certificate (PEM), together with its key.",
      example: '"/etc/tailscale2otel/client.pem"',
    }),
    key_file: file({
      description: "The client's key (PEM), together with its certificate.",
      example: '"/etc/tailscale2otel/client.key"',
    }),
    insecure_skip_verify: boolean({
      default: false,
      description: "Whether the backend's certificate is not checked. Whoever is in between can then read everything.",
    }),
  }),
  grafana_cloud: section("Credentials of Grafana Cloud, of which the `Authorization` header is made.", {
    instance_id: text({
      description: "The number of the OTLP instance, which is the user name.",
      pattern: "^[^\\x00-\\x20\\x7f:]*$",
      example: '"123456"',
    }),
    token: secret({ description: "An access policy token that may write.", example: '"glc_example"' }),
  }),
});

export const admin = section("The listener for operators: health, `/metrics` for Prometheus, `/api/status`.", {
  enabled: boolean({ default: true, description: "Whether it runs." }),
  listen: listen({
    default: "127.0.0.1:9091",
    description: "Where it listens. Off loopback, a token is required.",
  }),
  token: secret({
    description: "What everybody must send as `Authorization: Bearer`, but for `/healthz` and `/readyz`.",
    example: '"choose-another-long-random-text"',
  }),
});

export const resource = section("Who is speaking.", {
  attributes: map({
    entry: "attribute",
    secrecy: "open",
    example: '{ "deployment.environment.name" = "production" }',
    description:
      "Resource attributes of everything that is sent. In a variable's name, capitals become small letters and `_` becomes `.`.",
  }),
});

export const selfObservability = section("What the program says about itself over OTLP.", {
  enabled: boolean({ default: true, description: "Whether metrics about the program itself are sent." }),
  logs: boolean({ default: false, description: "Whether the program's own log lines are sent too." }),
  instance_id: text({
    description: "`service.instance.id`. Empty: made once and kept in the state directory.",
    example: '"edge-1"',
  }),
});
