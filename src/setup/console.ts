/** The remaining steps in Tailscale's admin console, word for word, and the commands to continue with. */
import { publicAddress } from "../tailnet/log-streams.ts";
import { type Answers, type Reach, scopesFor, streamPort, streamUrlOf, webhookPortOf } from "./answers.ts";

const consoleUrl = "https://login.tailscale.com/admin";

/** The receivers' default paths. */
const paths = { stream: "/services/collector/event", webhook: "/tailscale/webhook" };

/** The full address Tailscale streams to. */
export function streamAddressOf(reach: Reach): string {
  return publicAddress(streamUrlOf(reach), paths.stream);
}

/** The full address Tailscale posts events to. */
export function webhookAddressOf(url: string): string {
  return publicAddress(url, paths.webhook);
}

/** How to create the OAuth client. */
export function oauthSteps(answers: Pick<Answers, "source" | "reach" | "webhook">): string {
  const scopes = scopesFor(answers).map((scope) => `       ${scope}${scope.endsWith(":read") ? "" : " (write)"}`);
  return [
    `In Tailscale's admin console, create an OAuth client: ${consoleUrl}/settings/oauth`,
    "(Settings, Trust credentials, Credential, OAuth). Tick these scopes:",
    ...scopes,
    "It shows the secret once.",
  ].join("\n");
}

/** What to enter in the admin console, or what the program does there itself. */
export function consoleSteps(answers: Answers): string {
  const steps = [streamSteps(answers), webhookSteps(answers)].filter((text) => text !== "");
  if (steps.length > 0) return steps.join("\n\n");
  return `Nothing to do in Tailscale's admin console, as long as network flow logs are on there: ${consoleUrl}/logs/network`;
}

function streamSteps({ reach, oauth, streamToken }: Answers): string {
  if (reach === undefined) return "";
  const url = streamAddressOf(reach);
  if (oauth !== undefined) {
    return [
      `run makes Tailscale stream both logs to ${url}, and says so.`,
      ...(reach.kind === "public" ? forwarding(url, streamPort) : []),
      `Network flow logs have to be on: ${consoleUrl}/logs/network`,
    ].join("\n");
  }
  return [
    "In Tailscale's admin console, as an Owner, Admin, Network admin or IT admin, do this for both logs:",
    "",
    `  Configuration logs   ${consoleUrl}/logs`,
    `  Network flow logs    ${consoleUrl}/logs/network (turn them on first, if they are off)`,
    "",
    "  1. Select Start streaming.",
    "  2. Select the destination Splunk.",
    `  3. URL:    ${url}`,
    `     Token:  ${streamToken}`,
    "     A user name is not needed.",
    "  4. Select Start streaming.",
    ...(reach.kind === "public"
      ? ["", ...forwarding(url, streamPort).map((line) => `  ${line}`)]
      : [
          "",
          "  The address is inside the tailnet. Tailscale asks to share this machine with logstream@tailscale and to add a",
          "  rule for it to the policy file: agree to both.",
        ]),
    "",
    "If Start streaming is missing, the plan of the tailnet does not stream that log: poll it instead (init --source poll).",
  ].join("\n");
}

/** How to forward a public address to a receiver. */
function forwarding(url: string, port: number): readonly string[] {
  return [
    `${new URL(url).host} must lead to http://127.0.0.1:${port} on this machine, through a reverse proxy or with`,
    `  tailscale funnel --bg ${port}`,
  ];
}

function webhookSteps(answers: Answers): string {
  const { webhook, oauth } = answers;
  if (webhook === undefined) return "";
  const url = webhookAddressOf(webhook.url);
  const reach = forwarding(url, webhookPortOf(answers));
  if (oauth !== undefined && webhook.secret === undefined)
    return [`run creates the webhook for ${url}, and keeps its secret.`, ...reach].join("\n");
  const step = [`Webhooks: ${consoleUrl}/settings/webhooks, Add endpoint, with the URL`, `  ${url}`];
  const secret = "Put the secret that it shows into the section [webhook] of the file, which is a comment until then.";
  return [...(webhook.secret === undefined ? [...step, secret] : []), ...reach].join("\n");
}
