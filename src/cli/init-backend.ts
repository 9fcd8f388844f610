/** The `init` question about the backend, whose address is tested immediately. */
import type { Answers, Backend, Secret } from "../setup/answers.ts";
import { checkOtlp } from "./check-otlp.ts";
import { UsageError } from "./flags.ts";
import {
  addressOf,
  answerTo,
  askSecret,
  type Asking,
  choiceOf,
  refuseIgnored,
  sayFindings,
  untilRead,
} from "./init-asking.ts";

const localCollector = "http://127.0.0.1:4318";

export async function askBackend(so: Answers, asking: Asking): Promise<Backend> {
  const { flags, prompt } = asking;
  const validated = (backend: Backend): Backend => {
    asking.configWith({ ...so, backend }, "otlp");
    return backend;
  };
  const readEndpoint = (text: string): string => {
    const word = choiceOf(text, [localCollector, "grafana", "none"]);
    refuseOthers(word, asking);
    if (word === "none" || word === "grafana") return word;
    return validated({ endpoint: addressOf(word, localCollector) }).endpoint;
  };
  const headers = flags.header === undefined ? {} : { headers: [headerOf(flags.header)] };
  const endpoint = await answerTo(
    {
      flag: "endpoint",
      allowed: "the address of an OTLP/HTTP receiver, or none",
      intro: `
2. Where do metrics and logs go?
   1  to an OpenTelemetry Collector, or another OTLP/HTTP receiver, on this machine: ${localCollector}
   2  to Grafana Cloud
   3  nowhere yet: totals are at http://127.0.0.1:9091/metrics, and what is received is kept for a day
   or the address of another OTLP/HTTP receiver.`,
      prompt: "Answer [1]: ",
      usual: localCollector,
      read: readEndpoint,
    },
    asking,
  );
  for (let given: Backend = { endpoint, ...headers }; ;) {
    if (given.endpoint === "none") return { endpoint: "" };
    const backend = await withGrafana(given, asking, validated);
    const findings = await checkOtlp(asking.configWith({ ...so, backend }, "otlp"));
    await sayFindings(findings, asking);
    if (prompt === undefined || flags.yes === true || findings.every(({ outcome }) => outcome === "ok")) return backend;
    const ask = () => prompt.ask("Enter keeps it. Or: another address, or a header as Name: value. ");
    const next = await untilRead(ask, asking, (text): Backend | undefined => {
      if (text === "") return undefined;
      if (!/^[A-Za-z0-9_-]+\s*:\s+\S/.test(text)) return { endpoint: readEndpoint(text) };
      const header = headerOf(text);
      // A header entered again is a correction.
      const others = backend.headers?.filter(([name]) => name.toLowerCase() !== header[0].toLowerCase()) ?? [];
      return validated({ ...backend, headers: [...others, header] });
    });
    if (next === undefined) return backend;
    given = next;
  }
}

const grafanaFlags = ["grafana-instance", "grafana-token-file"] as const;

/** @throws {UsageError} for a flag that does not apply to that answer. */
function refuseOthers(endpoint: string, asking: Asking): void {
  if (endpoint === "none")
    refuseIgnored(asking, ["header", ...grafanaFlags], "with none as the endpoint", "give an address");
  if (endpoint !== "grafana" && !isGrafana(endpoint))
    refuseIgnored(
      asking,
      grafanaFlags,
      "with an address that is not Grafana Cloud's",
      `use one such as ${grafanaExample}`,
    );
  else if (asking.flags.header !== undefined)
    refuseIgnored(asking, grafanaFlags, "with --header", "leave --header out");
}

const grafanaExample = "https://otlp-gateway-prod-eu-west-2.grafana.net/otlp";

function isGrafana(endpoint: string): boolean {
  const { hostname } = URL.canParse(endpoint) ? new URL(endpoint) : { hostname: "" };
  return hostname.startsWith("otlp-gateway") && hostname.endsWith(".grafana.net");
}

function headerOf(text: string): readonly [string, string] {
  const [, name, value] = /^([A-Za-z0-9_-]+)\s*[:=]\s*(\S.*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new UsageError("--header must be written as Name: value");
  return [name, value.trimEnd()];
}

/** Grafana Cloud requires an instance id and token, wherever the address came from. `validated` throws `UsageError`. */
async function withGrafana(
  backend: Backend,
  asking: Asking,
  validated: (backend: Backend) => Backend,
): Promise<Backend> {
  let { endpoint } = backend;
  if (endpoint === "grafana")
    endpoint = await answerTo(
      {
        flag: "endpoint",
        allowed: "the OTLP endpoint of your stack",
        intro: "On grafana.com, the OpenTelemetry tile of your stack (Configure) shows all three.",
        prompt: `OTLP endpoint, such as ${grafanaExample}: `,
        read(text) {
          const { host } = URL.canParse(text) ? new URL(text) : { host: "" };
          if (!host.endsWith("grafana.net"))
            throw new UsageError(`it must be an address such as ${grafanaExample}, not ${JSON.stringify(text)}`);
          return validated({ endpoint: text }).endpoint;
        },
      },
      { ...asking, flags: { yes: asking.flags.yes } },
    );
  if (!isGrafana(endpoint) || backend.headers !== undefined) return { ...backend, endpoint };
  const { origin, pathname } = new URL(endpoint);
  if (pathname === "/") endpoint = `${origin}/otlp`;
  const instanceId = await answerTo(
    {
      flag: "grafana-instance",
      allowed: "the number of the instance",
      prompt: "Instance ID, a number: ",
      read(text) {
        if (!/^\d+$/.test(text)) throw new UsageError(`it must be a number, not ${JSON.stringify(text)}`);
        return text;
      },
    },
    asking,
  );
  const withToken = (token: Secret): Backend => ({ ...backend, endpoint, grafana: { instanceId, token } });
  const question = { flag: "grafana-token-file", prompt: "Token (glc_…, not shown): " } as const;
  return withToken(await askSecret(question, asking, (token) => void validated(withToken(token))));
}
