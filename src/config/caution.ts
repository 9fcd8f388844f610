/** What works and is probably not meant: the warnings at start, and of `check`. */
import { apiCautions } from "./api-rules.ts";
import { describeOrigin, type Warning } from "./diagnosis.ts";
import { idleSettings } from "./idle.ts";
import { isLoopback, parseListen } from "./listen.ts";
import type { Config } from "./schema.ts";
import type { View } from "./view.ts";
import { webhookCautions } from "./webhook-rules.ts";

/** The configuration file, where there is one, and its permission bits. */
export interface FileMode {
  readonly path: string;
  readonly mode: number;
}

/** Warnings about values that are right one by one. */
export function findCautions(view: View, file: FileMode | undefined): readonly Warning[] {
  const { config } = view;
  const found = [
    emptyToken(config),
    ...webhookCautions(config),
    ...apiCautions(config),
    bodyOverInflight(config),
    unverifiedTls(config),
    inMemory(config),
    ...localMode(config),
    ...secretsInFlags(view),
    file && looseMode(view, file),
    ...idleSettings(view),
  ];
  return found.filter((warning) => warning !== undefined);
}

function emptyToken({ streaming }: Config): Warning | undefined {
  if (!streaming.enabled || streaming.token !== "") return undefined;
  const isLocal = isLoopback(parseListen(streaming.listen)?.hostname);
  const plainly = streaming.tls.cert_file === "" ? ", and what is sent travels over plain HTTP" : "";
  return {
    key: "streaming.token",
    message: isLocal
      ? "it is empty, so every program on this machine can send records"
      : `it is empty, and ${streaming.listen} is not loopback: whoever reaches this port can forge records${plainly}`,
    remedy: isLocal
      ? "Set streaming.token to a long random text, and give the same to Tailscale."
      : "Set streaming.token to a long random text and give the same to Tailscale, or let streaming.listen begin with 127.0.0.1; streaming.require_token = true makes this an error.",
  };
}

function bodyOverInflight({ streaming }: Config): Warning | undefined {
  if (!streaming.enabled) return undefined;
  const largest = streaming.max_body_bytes === 0 ? 64 * 2 ** 20 : streaming.max_body_bytes;
  if (largest <= streaming.max_inflight_bytes) return undefined;
  return {
    key: "streaming.max_inflight_bytes",
    message:
      "it is smaller than the largest body (streaming.max_body_bytes; 0 means 64 MiB), so it is the limit of one body",
    remedy: "Raise streaming.max_inflight_bytes, or lower streaming.max_body_bytes.",
  };
}

function unverifiedTls({ otlp }: Config): Warning | undefined {
  if (!otlp.tls.insecure_skip_verify) return undefined;
  return {
    key: "otlp.tls.insecure_skip_verify",
    message: "the backend's certificate is not checked, so somebody in between can read everything, credentials too",
    remedy: "Give the certificate to trust as otlp.tls.ca_file instead.",
  };
}

function inMemory({ state }: Config): Warning | undefined {
  if (state.path !== ":memory:") return undefined;
  return {
    key: "state.path",
    message: "records are kept in memory alone: a restart loses what is not delivered, and counters start anew",
    remedy: "Set state.path to a directory.",
  };
}

function localMode({ otlp }: Config): readonly Warning[] {
  if (otlp.protocol === "stdout") return [];
  const missing = (["metrics", "logs"] as const).filter(
    (signal) => otlp[signal].enabled && otlp[signal].endpoint === "" && otlp.endpoint === "",
  );
  if (missing.length === 0) return [];
  const isNothingSent = (["metrics", "logs"] as const).every(
    (signal) => !otlp[signal].enabled || missing.includes(signal),
  );
  const [only = "metrics"] = missing;
  return [
    {
      key: isNothingSent ? "otlp.endpoint" : `otlp.${only}.endpoint`,
      message: `${missing.join(" and ")} have no address, so they stay on this machine${isNothingSent ? " (local mode)" : ""}`,
      remedy: isNothingSent
        ? "Set otlp.endpoint to send them to an OTLP backend."
        : `Set otlp.${only}.endpoint, or otlp.${only}.enabled = false.`,
    },
  ];
}

function secretsInFlags({ settings, origins }: View): readonly Warning[] {
  return settings
    .filter((setting) => setting.isSecret)
    .flatMap((setting) => [...origins].filter(([key]) => key === setting.key || key.startsWith(`${setting.key}.`)))
    .filter(([, origin]) => origin.from === "flag" && origin.secretFile === undefined)
    .map(([key]) => ({
      key,
      message: "it was given as a flag, and everybody on this machine can read the arguments of a process",
      remedy: "Give it as a variable, in the file, or as a file of its own.",
    }));
}

function looseMode(view: View, { path, mode }: FileMode): Warning | undefined {
  const isOpen = (mode & 0o027) !== 0;
  if (!isOpen) return undefined;
  const held = [...view.origins].find(
    ([key, origin]) =>
      origin.from === "file" &&
      origin.secretFile === undefined &&
      view.settings.some((setting) => setting.isSecret && (key === setting.key || key.startsWith(`${setting.key}.`))),
  );
  if (held === undefined) return undefined;
  const [key, origin] = held;
  return {
    key,
    message: `${describeOrigin(origin)} holds a secret, and others may read or write the file (mode ${(mode & 0o777).toString(8).padStart(4, "0")})`,
    remedy: `Run: chmod 600 ${path}`,
  };
}
