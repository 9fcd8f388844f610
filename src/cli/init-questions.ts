/** The questions of `init` about Tailscale: how logs arrive, how it reaches this machine, and which credentials to use. */
import { displayUrl } from "../config/index.ts";
import { nodeName, TailscaledError } from "../http/tailscaled.ts";
import { obtainKeyPair } from "../http/tls.ts";
import { systemClock } from "../lib/clock.ts";
import { type Answers, type LogSource, type Reach, type Secret, streamPort } from "../setup/answers.ts";
import { oauthSteps, webhookAddressOf } from "../setup/console.ts";
import { checkTailscale } from "./check-online.ts";
import { UsageError } from "./flags.ts";
import {
  addressOf,
  answerTo,
  askSecret,
  type Asking,
  choiceOf,
  refuseIgnored,
  sayFindings,
  secretOf,
  untilRead,
} from "./init-asking.ts";
import { askBackend } from "./init-backend.ts";

export async function askAll(asking: Asking): Promise<Answers> {
  const source = await askSource(asking);
  let answers: Answers = { source, backend: { endpoint: "" }, streamToken: asking.streamToken };
  answers = { ...answers, backend: await askBackend(answers, asking) };
  if (source !== "poll") answers = { ...answers, reach: await askReach(answers, asking) };
  answers = await withWebhook(answers, asking);
  answers = await withOauth(answers, asking);
  return withWebhookSecret(answers, asking);
}

const sources: readonly LogSource[] = ["stream", "poll", "both"];

function askSource(asking: Asking): Promise<LogSource> {
  return answerTo(
    {
      flag: "source",
      allowed: "stream, poll or both",
      intro: `
1. How do the logs get here?
   1  stream: Tailscale sends them within seconds, and has to reach this machine. Flow logs need the Enterprise plan.
   2  poll:   this program reads them from Tailscale's API every minute. Flow logs need Premium or Enterprise.
   3  both:   the stream is fast, and the poll fills its gaps.`,
      prompt: "Answer [1]: ",
      usual: "stream",
      read(text) {
        const word = choiceOf(text, sources);
        const source = sources.find((one) => one === word);
        if (source === undefined) throw new UsageError(`it must be stream, poll or both, not ${JSON.stringify(text)}`);
        if (source === "poll") refuseIgnored(asking, ["reach", "node"], "with poll", "use stream or both");
        return source;
      },
    },
    asking,
  );
}

async function askReach(so: Answers, asking: Asking): Promise<Reach> {
  const { flags, prompt, say } = asking;
  const { socket } = asking.configWith(so, "tailscale").tailscale;
  const found = flags.node ?? (await nodeName({ socket, timeoutMs: 2_000 }).catch(() => undefined));
  const shown = found ?? "NAME.ts.net";
  const kind = await answerTo(
    {
      flag: "reach",
      allowed: "tailnet, certificate, or a public https address",
      intro: `
3. How does Tailscale reach this machine?
   1  by its name in the tailnet, which encrypts: http://${shown}:${streamPort}
   2  the same over HTTPS, with a certificate from tailscaled: https://${shown}:${streamPort}
   or the https address of a reverse proxy or Tailscale Funnel in front of it, such as https://logs.example.com`,
      prompt: "Answer [1]: ",
      usual: "tailnet",
      read(text) {
        const word = choiceOf(text, ["tailnet", "certificate"]);
        if (word === "tailnet" || word === "certificate") return word;
        if (!/^https:\/\//i.test(text))
          throw new UsageError(`it must be tailnet, certificate, or an https address, not ${JSON.stringify(text)}`);
        refuseIgnored(asking, ["node"], "with a public address", "use tailnet or certificate");
        asking.configWith({ ...so, reach: { kind: "public", url: text } }, "streaming");
        return text;
      },
    },
    asking,
  );
  if (kind !== "tailnet" && kind !== "certificate") return { kind: "public", url: kind };
  const name = await answerTo(
    {
      flag: "node",
      allowed: "the full name of this machine in the tailnet, such as node.tail1234.ts.net",
      intro: "tailscaled does not answer here, so the name is not known.",
      prompt: "Full name of this machine in the tailnet, such as node.tail1234.ts.net: ",
      ...(found === undefined ? {} : { usual: found }),
      read(text) {
        const bare = text.toLowerCase().replace(/\.$/, "");
        if (!/^[a-z0-9-]+(\.[a-z0-9-]+)+$/.test(bare))
          throw new UsageError(`it must be a full name such as node.tail1234.ts.net, not ${JSON.stringify(text)}`);
        asking.configWith({ ...so, reach: { kind, name: bare } }, "streaming");
        return bare;
      },
    },
    found === undefined ? asking : { ...asking, flags: { ...flags, node: found } },
  );
  if (kind === "tailnet") return { kind, name };
  await say("Asking tailscaled for the certificate; the first one takes up to a minute.");
  try {
    await obtainKeyPair({ socket, timeoutMs: 90_000 }, systemClock());
    await say(`ok: tailscaled issues the certificate of ${name}`);
    return { kind, name };
  } catch (error) {
    if (!(error instanceof TailscaledError)) throw error;
    await say(`${error.message}. ${error.remedy}`);
  }
  if (prompt === undefined || flags.yes === true) return { kind, name };
  const answer = await prompt.ask("Enter continues: run uses the certificate once it gets one. Or 1 for plain HTTP. ");
  return answer === "1" ? { kind: "tailnet", name } : { kind, name };
}

async function withWebhook(answers: Answers, asking: Asking): Promise<Answers> {
  const url = await answerTo(
    {
      flag: "webhook",
      allowed: "a public https address, or none",
      intro: `
Webhooks too? They bring events of the tailnet within seconds, and need a public https address on port 443, for example
through Tailscale Funnel.`,
      prompt: "Public address, or Enter for none: ",
      usual: "none",
      isOptional: true,
      read(text) {
        if (text === "none") {
          refuseIgnored(asking, ["webhook-secret-file"], "without --webhook", "give the address");
          return text;
        }
        const address = addressOf(text, "https://hooks.example.com");
        asking.configWith({ ...answers, webhook: { url: address, secret: { text: "-" } } }, "webhook");
        return address;
      },
    },
    asking,
  );
  return url === "none" ? answers : { ...answers, webhook: { url } };
}

/** With an OAuth client, the program creates the webhook itself, unless its secret is given. */
async function withWebhookSecret(answers: Answers, asking: Asking): Promise<Answers> {
  const { webhook, oauth } = answers;
  const flag = "webhook-secret-file";
  if (webhook === undefined || (oauth !== undefined && asking.flags[flag] === undefined)) return answers;
  const withSecret = (secret: Secret): Answers => ({ ...answers, webhook: { ...webhook, secret } });
  return answerTo(
    {
      flag,
      allowed: "the path of a file that holds it",
      intro: `
Create the webhook at https://login.tailscale.com/admin/settings/webhooks (Add endpoint), with the URL
   ${webhookAddressOf(webhook.url)}
It shows a secret once.`,
      prompt: "Secret (tskey-webhook-…, not shown), or Enter to add it later: ",
      isSecret: true,
      usual: "",
      isOptional: true,
      read(text) {
        if (text === "" && asking.flags[flag] === undefined) return answers;
        const complete = withSecret(secretOf(flag, text, asking));
        asking.configWith(complete, "webhook");
        return complete;
      },
    },
    asking,
  );
}

async function withOauth(answers: Answers, asking: Asking): Promise<Answers> {
  const { prompt, say, flags } = asking;
  const isRequired = answers.source !== "stream";
  const what = answers.webhook === undefined ? "log streams" : "log streams and the webhook";
  const withClient = (clientId: string, clientSecret: Secret): Answers => ({
    ...answers,
    oauth: { clientId, clientSecret },
  });
  const readId = (text: string): string => {
    if (text === "?") throw new UsageError(oauthSteps(answers));
    if (/\s/.test(text)) throw new UsageError("the ID that the admin console shows has no spaces");
    if (text !== "none") asking.configWith(withClient(text, { text: "-" }), "tailscale");
    else if (isRequired) throw new UsageError("the API can be polled only with an OAuth client");
    else refuseIgnored(asking, ["client-secret-file"], "without --client-id", "give both");
    return text;
  };
  let clientId = await answerTo(
    {
      flag: "client-id",
      allowed: "the ID of an OAuth client",
      intro: isRequired
        ? `\n${oauthSteps(answers)}`
        : `\nThis program can set up the ${what} at Tailscale itself, with an OAuth client; or you do it by hand.`,
      prompt: isRequired ? "Client ID: " : "Client ID, or Enter to do it by hand, or ? for how to create one: ",
      ...(isRequired ? {} : { usual: "none", isOptional: true as const }),
      read: readId,
    },
    asking,
  );
  const secretQuestion = { flag: "client-secret-file", prompt: "Client secret (tskey-client-…, not shown): " } as const;
  for (;;) {
    const id = clientId;
    if (id === "none") return answers;
    const validate = (secret: Secret) => void asking.configWith(withClient(id, secret), "tailscale");
    const next = withClient(id, await askSecret(secretQuestion, asking, validate));
    const config = asking.configWith(next, "tailscale");
    await say(`Trying it at ${displayUrl(config.tailscale.base_url)}.`);
    const findings = await checkTailscale(config);
    await sayFindings(findings, asking);
    const isFine = findings.every(({ outcome }) => outcome !== "failed");
    if (isFine || prompt === undefined || flags.yes === true) return next;
    const ask = () => prompt.ask("Enter keeps it; you can add scopes later. Or another client ID: ");
    const other = await untilRead(ask, asking, (text) => (text === "" ? undefined : readId(text)));
    if (other === undefined) return next;
    clientId = other;
  }
}
