import { expect, test } from "bun:test";
import { helpText } from "../support/help.ts";
import { runToEnd, temporaryDirectory } from "./program.ts";

const directory = temporaryDirectory();

async function helpOf(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runToEnd(directory, args);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return stdout;
}

test("of the program", async () => {
  const help = await helpOf("--help");
  expect(help).toMatchInlineSnapshot(`
    "Receives Tailscale flow logs, audit logs and webhooks, and exports them as OpenTelemetry metrics and logs (tailscale2otel v0.1.0-dev)

    USAGE tailscale2otel run|demo|init|check|send|status|tail|top|healthcheck|quarantine|replay|tailnet|service|move|schema|completion|version

    COMMANDS

      Set up and run:
                         run    Run the service
                        demo    See it work: a simulated tailnet sends to the real program, and a page shows it live
                        init    Write a configuration, and say what to enter in Tailscale
                       check    Validate the configuration and show every value with its origin
                    send hec    Send a flow and an audit record to a stream receiver, and print its answer
                send webhook    Send a signed webhook to a receiver, and print its answer

      Look at a running instance:
                      status    Show health, delivery, and whether every record is accounted for
                        tail    Follow the accepted events of a running instance
                         top    Watch a running instance: rates, sums, top talkers and the latest changes
                 healthcheck    Exit with 0 if the instance is healthy, and with 1 if not

      Quarantine, and delivering again:
             quarantine list    List quarantined records, samples, notes and dead letters, newest first
             quarantine show    Show one item with its text
            quarantine retry    Retry quarantined records, and export dead letters again
            quarantine purge    Delete quarantined records, samples, notes or dead letters
                      replay    Export delivered logs to the backend again

      Settings of the tailnet:
         tailnet stream show    Show where Tailscale sends its logs, and whether that works
          tailnet stream set    Make Tailscale send its logs to the stream receiver
       tailnet stream remove    Make Tailscale stop sending its logs
        tailnet webhook list    List the webhooks of the tailnet
      tailnet webhook create    Create a webhook for the webhook receiver
      tailnet webhook rotate    Give a webhook a new secret
        tailnet webhook test    Make Tailscale send a test event to a webhook
      tailnet webhook remove    Remove a webhook

      On this machine:
             service install    Install and start the program as a service of systemd or launchd
           service uninstall    Stop the service and remove it; configuration and state stay
              service status    Show whether the service is installed, enabled and running, and the health of the instance
                        move    Move the journal of a stopped instance from SQLite to PostgreSQL
                      schema    Print the JSON Schema of the configuration file, for editors
             completion bash    Print a script that completes commands, flags, values and settings in bash
              completion zsh    Print a script that completes commands, flags, values and settings in zsh
             completion fish    Print a script that completes commands, flags, values and settings in fish
                     version    Print version, commit and build date

    Use tailscale2otel <command> --help for more information about a command.

    Without a command: run, if there is a configuration (a file, or TS2OTEL_STREAMING__…, TS2OTEL_WEBHOOK__… or TS2OTEL_TAILSCALE__AUTH__… variables).
    Exit codes: 0 success, 1 failure, 64 usage error, 78 configuration error.

    EXAMPLES

      tailscale2otel demo                               see it work, without a tailnet, a backend or a configuration
      tailscale2otel init                               write a configuration, and say what to enter in Tailscale
      tailscale2otel check                              the effective configuration, and every problem with its fix
      tailscale2otel run --config tailscale2otel.toml   run the service
    "
  `);
  expect(await helpOf("-h")).toBe(help);
});

test("of run", async () => {
  const help = await helpOf("run", "--help");
  expect(help).toMatchInlineSnapshot(`
    "Run the service (tailscale2otel run)

    USAGE tailscale2otel run [OPTIONS]

    OPTIONS

        --config=<path>    Configuration file. (Default: $TS2OTEL_CONFIG, ./tailscale2otel.toml or /etc/tailscale2otel/config.toml)
      --set=<key=value>    One setting; overrides file and environment. Can be repeated.
             -h, --help    Show this text.

    SIGINT and SIGTERM stop it within 20 s; a second one stops it at once, which is safe. SIGHUP reloads tokens, secrets, certificates and log_level. If it was started in a terminal, SIGHUP stops it, since that is what closing the terminal sends.

    EXAMPLES

      tailscale2otel run                                            with ./tailscale2otel.toml, /etc/tailscale2otel/config.toml, or variables alone
      tailscale2otel run --config edge.toml --set log_level=debug   one setting changed for this run
    "
  `);
  expect(await helpOf("run", "--set", "x", "-h")).toBe(help);
});

test("of demo", async () => {
  expect(await helpOf("demo", "--help")).toMatchInlineSnapshot(`
    "See it work: a simulated tailnet sends to the real program, and a page shows it live (tailscale2otel demo)

    USAGE tailscale2otel demo [OPTIONS]

    OPTIONS

                          --endpoint=<url>    Also export to this OTLP backend. (Default: nothing leaves this machine)
      --protocol=<http/json|http/protobuf>    OTLP encoding for that backend.
                          --duration=<30s>    Stop after this long. (Default: at Ctrl-C)
                                --rate=<N>    Maximum number of connection entries per second. (Default: 2000, and at least 8 for each node)
                               --past=<5m>    How much has happened already when the page opens, up to 24h. (Default: 5m, less with many nodes)
                               --nodes=<N>    Nodes of the tailnet, 2 to 2000. (Default: 41)
                                    --open    Open the page in a browser; not over SSH, in a pipe or in CI. (In the terminal, o does the same)
                                --seed=<N>    Seed of the simulation: each number makes another tailnet.
                                -h, --help    Show this text.

    EXAMPLES

      tailscale2otel demo                                    watch it in a browser and in the terminal; Ctrl-C ends it
      tailscale2otel demo --nodes 500 --open                 a large tailnet, in the browser at once
      tailscale2otel demo --endpoint http://127.0.0.1:4318   see the same in your own backend
      tailscale2otel demo --duration 30s --rate 500          half a minute at a slow pace
    "
  `);
});

test("of check", async () => {
  expect(await helpOf("check", "--help")).toMatchInlineSnapshot(`
    "Validate the configuration and show every value with its origin (tailscale2otel check)

    USAGE tailscale2otel check [OPTIONS]

    OPTIONS

        --config=<path>    Configuration file. (Default: $TS2OTEL_CONFIG, ./tailscale2otel.toml or /etc/tailscale2otel/config.toml)
      --set=<key=value>    One setting; overrides file and environment. Can be repeated.
                 --json    Print JSON instead of text.
              --changed    Show only values that differ from the defaults.
               --strict    Fail on warnings too.
               --online    Also test the API and each scope, the backend, the certificates, the clock and the journal. The text then leaves defaults out.
       --tailnet=<name>    With --online: test only this tailnet of [[tailnet]]. (Default: all)
             -h, --help    Show this text.

    Exit code 0 if run could start (whether its ports are free is not tested), 78 if it could not or, with --strict, if there are warnings, 1 if something that --online tries fails. It writes nothing, and opens no connection without --online. With --online, it only reads from Tailscale's API, asks tailscaled for its certificate if a receiver uses that, and sends an empty export to the backend.

    EXAMPLES

      tailscale2otel check                         the configuration that run would use
      tailscale2otel check --config new.toml       another file
      tailscale2otel check --changed --strict      only what differs from the defaults; warnings fail
      tailscale2otel check --online                also contacts Tailscale and the backend
      tailscale2otel check --json | jq .problems   for scripts
    "
  `);
});

test("of schema and version", async () => {
  expect(await helpOf("schema", "--help")).toMatchInlineSnapshot(`
    "Print the JSON Schema of the configuration file, for editors (tailscale2otel schema)

    USAGE tailscale2otel schema [OPTIONS]

    OPTIONS

      -h, --help    Show this text.

    EXAMPLES

      tailscale2otel schema > tailscale2otel.schema.json   then name it in your editor's TOML settings
    "
  `);
  expect(await helpOf("version", "--help")).toMatchInlineSnapshot(`
    "Print version, commit and build date (tailscale2otel version)

    USAGE tailscale2otel version [OPTIONS]

    OPTIONS

          --json    Print JSON instead of text.
      --licenses    Print the licenses of the software inside this binary instead.
      -h, --help    Show this text.

    EXAMPLES

      tailscale2otel version
      tailscale2otel version --json              for scripts
      tailscale2otel version --licenses | less
    "
  `);
});

test("of tail and top", async () => {
  expect(await helpOf("tail", "--help")).toMatchInlineSnapshot(`
    "Follow the accepted events of a running instance (tailscale2otel tail)

    USAGE tailscale2otel tail [OPTIONS]

    OPTIONS

             --config=<path>    Configuration file. (Default: $TS2OTEL_CONFIG, ./tailscale2otel.toml or /etc/tailscale2otel/config.toml)
           --set=<key=value>    One setting; overrides file and environment. Can be repeated.
             --url=<address>    Admin listener of the instance. (Default: that of the instance with this state directory)
            --tailnet=<name>    A tailnet of [[tailnet]]. (Default: the only one)
                      --json    Print JSON instead of text.
               --type=<type>    Only flow, audit or webhook; several with commas. Can be repeated.
               --node=<name>    Only events with this node at either end, by name or address, ignoring case; * and ? are wildcards. Can be repeated.
      --severity=<info|warn>    Only events of at least this severity.
              --text=<words>    Only events with all these words in their name, body or attributes, ignoring case; the instance searches.
               --grep=<text>    Only events that contain this text, ignoring case; between slashes, a regular expression.
              --since=<when>    Begin with what was received then: 10m (that long ago), or an RFC 3339 time.
             -n, --lines=<N>    Begin with the last N events that match. (Default: 10)
                  -h, --help    Show this text.

    Times are those of the events, in UTC. Settings of privacy apply. If the instance restarts, tail waits and continues where it was. With --json, each line is an event as in docs/api.md.

    EXAMPLES

      tailscale2otel tail                                            the last 10 events, and all that follow; Ctrl-C ends it
      tailscale2otel tail --type audit,webhook --since 8h            the changes of a night
      tailscale2otel tail --node fileserver --grep '/:(22|3389) /'   who connects to a machine by SSH or RDP
      tailscale2otel tail --json --lines 0 | jq -r .attributes       for scripts: one JSON object per line
    "
  `);
  expect(await helpOf("top", "--help")).toMatchInlineSnapshot(`
    "Watch a running instance: rates, sums, top talkers and the latest changes (tailscale2otel top)

    USAGE tailscale2otel top [OPTIONS]

    OPTIONS

        --config=<path>    Configuration file. (Default: $TS2OTEL_CONFIG, ./tailscale2otel.toml or /etc/tailscale2otel/config.toml)
      --set=<key=value>    One setting; overrides file and environment. Can be repeated.
        --url=<address>    Admin listener of the instance. (Default: that of the instance with this state directory)
       --tailnet=<name>    A tailnet of [[tailnet]]. (Default: the only one)
        --interval=<1s>    Refresh interval, from 200ms to 1m. (Default: 1s)
             -h, --help    Show this text.

    Top talkers are those of the current and the previous otlp.metric_interval. If the instance stops, top waits for it.

    EXAMPLES

      tailscale2otel top                                the instance on this machine; q or Ctrl-C ends it
      tailscale2otel top --interval 10s | tee top.txt   in a pipe: lines instead of a screen
    "
  `);
});

/** Commands whose help is pinned above, in the order of the list of commands. */
const above = new Set(["run", "demo", "check", "tail", "top", "schema", "version"]);
const commands = [...(await helpText([])).matchAll(/^ {2,}([a-z]+(?: [a-z]+){0,2}) {4}\S/gm)].map(
  ([, name = ""]) => name,
);

test("every command is in the list", () => {
  expect(commands.length).toBeGreaterThan(30);
  expect(commands).toEqual(expect.arrayContaining([...above]));
});

test.each(commands.filter((name) => !above.has(name)))("of %s", async (name) => {
  expect(await helpText(name.split(" "))).toMatchSnapshot();
});
