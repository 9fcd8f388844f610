/** What an instance is and how it is configured, for `/api/v1/instance`: listeners, warnings with remedies, and every setting. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import { effectiveRows, type EffectiveRow, type Inspection } from "../config/index.ts";
import type { HttpServer } from "../http/server.ts";
import type { Clock } from "../lib/clock.ts";
import { timeText } from "../lib/rfc3339.ts";
import type { Build } from "../version.ts";
import type { Trouble } from "./status.ts";

/** Times are RFC 3339. */
export interface Instance {
  readonly version: string;
  /** Empty when run from source. */
  readonly commit: string;
  readonly startedAt: string;
  readonly statePath: string;
  readonly retentionSeconds: number;
  readonly listeners: readonly ShownListener[];
  /** What is wrong now, the worst first, followed by the warnings of the configuration. */
  readonly warnings: readonly ShownWarning[];
  /** In the order of the reference; a table has one row per entry. */
  readonly settings: readonly ShownSetting[];
}

export interface ShownListener {
  readonly name: "stream" | "webhook" | "admin";
  /** A URL, or a text such as "http on all interfaces, port 8088". */
  readonly url: string;
  /** Absent for plain HTTP. */
  readonly certificate?: {
    /** Absent until there is one. */
    readonly notAfter?: string;
    /** The names that the certificate is for. */
    readonly subjects: readonly string[];
    /** Why there is none, or why it could not be replaced. */
    readonly trouble?: string;
  };
}

export interface ShownWarning extends Trouble {
  /** The setting that it is about. */
  readonly key?: string;
}

export interface ShownSetting extends Pick<EffectiveRow, "key" | "origin" | "isDefault" | "description"> {
  /** As it would be written in TOML; for a secret, `(set)` or `(not set)`. */
  readonly value: string;
}

/** The configuration in effect; after a reload, `waiting` lists the settings that need a restart. */
export interface Applied extends Pick<Inspection, "config" | "warnings" | "origins"> {
  readonly waiting?: readonly string[];
}

/** A listener of this process. */
export interface Listening extends Pick<HttpServer, "certificate"> {
  readonly name: ShownListener["name"];
  /** A URL, or a text such as "http on all interfaces, port 8088". */
  readonly address: string;
}

export interface InstanceDeps {
  readonly build: Pick<Build, "version" | "commit">;
  readonly clock: Clock;
  /** Epoch milliseconds. */
  readonly startedAt: number;
  readonly telemetry: Pick<Telemetry, "observe">;
  /** What is wrong now, the worst first. */
  readonly troubles: () => readonly Trouble[];
  readonly listeners: () => readonly Listening[];
}

/** Shows this process with the configuration that it started with, until `use` sets another one. */
export function createInstance(started: Applied, deps: InstanceDeps) {
  const { build, clock, startedAt, telemetry, troubles, listeners } = deps;
  let applied = started;
  /** The settings of the applied configuration, computed on first use: they stay the same until a reload. */
  let settings: readonly ShownSetting[] | undefined;
  let isRefused = false;
  telemetry.observe("tailscale2otel.config.valid", () => [{ value: Number(!isRefused), attributes: {} }]);
  telemetry.observe("tailscale2otel.config.warnings", () => [{ value: applied.warnings.length, attributes: {} }]);
  return {
    show(): Instance {
      const { config } = applied;
      const listening = listeners();
      return {
        version: build.version,
        commit: build.commit,
        startedAt: timeText(startedAt),
        statePath: config.state.path,
        retentionSeconds: config.state.retention / 1000,
        listeners: listening.map(shownListener),
        warnings: [
          ...troubles(),
          ...listening.flatMap((one) => certificateWarnings(one, clock())),
          ...(isRefused ? [refused] : []),
          ...(applied.waiting ?? []).map(waitingWarning),
          ...applied.warnings.map(({ key, message, remedy }) => ({
            severity: "warning" as const,
            key,
            message,
            remedy,
          })),
        ],
        settings: (settings ??= shownSettings(applied)),
      };
    },
    /** Call when the configuration was reloaded. */
    use(next: Applied): void {
      isRefused = false;
      applied = next;
      settings = undefined;
    },
    /** Call when a reload failed because the configuration is invalid. */
    refuse(): void {
      isRefused = true;
    },
  };
}

const refused: ShownWarning = {
  severity: "warning",
  message: "the changed configuration is not valid, so the previous one still applies",
  remedy: "Run tailscale2otel check, correct what it names, and send SIGHUP again.",
};

function waitingWarning(key: string): ShownWarning {
  return {
    severity: "warning",
    key,
    message: "it was changed, but the change needs a restart",
    remedy: "Restart to apply it.",
  };
}

function shownListener({ name, address, certificate }: Listening): ShownListener {
  if (certificate === undefined) return { name, url: address };
  const { current, trouble } = certificate;
  return {
    name,
    url: address,
    certificate: {
      ...(current && { notAfter: timeText(current.notAfter) }),
      subjects: current?.subjects ?? [],
      ...(trouble === "" ? {} : { trouble }),
    },
  };
}

const dayMs = 86_400_000;

/** Let's Encrypt certificates are renewed a month ahead, so this close to expiry something is wrong. */
const warnedDays = 14;

function certificateWarnings({ name, certificate }: Listening, now: number): readonly ShownWarning[] {
  if (certificate === undefined) return [];
  const { current, trouble, remedy } = certificate;
  const found: ShownWarning[] = [];
  const add = (message: string, what: string): void =>
    void found.push({
      severity: "warning",
      message: `TLS certificate of the ${name} listener: ${message}`,
      remedy: what,
    });
  if (trouble !== "")
    add(
      trouble,
      remedy ?? "Correct the files: they are read again when they change. The old certificate is still served.",
    );
  const days = current === undefined ? Number.POSITIVE_INFINITY : Math.floor((current.notAfter - now) / dayMs);
  if (days < 0) add("it has expired, so senders reject it", "Renew it: a new one is served without a restart.");
  else if (days < warnedDays)
    add(`it expires in ${days} ${days === 1 ? "day" : "days"}`, "Renew it: a new one is served without a restart.");
  return found;
}

function shownSettings({ config, origins }: Applied): readonly ShownSetting[] {
  return effectiveRows({ config, origins, broken: new Set() }).map(
    ({ key, value, origin, isDefault, isSecret, description }) => {
      const isSet = value !== '""' && value !== "{}";
      return { key, value: isSecret ? (isSet ? "(set)" : "(not set)") : value, origin, isDefault, description };
    },
  );
}
