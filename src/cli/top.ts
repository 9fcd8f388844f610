/** The `top` command: shows a running instance at a glance, redrawn continuously. */
import { setTimeout as wait } from "node:timers/promises";
import { printable } from "../lib/text.ts";
import { parseDuration } from "../lib/units.ts";
import { onSignal } from "../runtime/process.ts";
import { frameOf, linesOf } from "../screen/frame.ts";
import { createLook, type Moment } from "../screen/look.ts";
import { canDraw, openScreen } from "../screen/terminal.ts";
import { type AdminClient, NoAnswer } from "./admin-client.ts";
import { type Command, command } from "./command.ts";
import { configFlags, option, tailnetFlag, UsageError } from "./flags.ts";
import { urlFlag } from "./admin-address.ts";
import { createConnection } from "./instance.ts";

export const topCommand: Command = command({
  name: "top",
  description: "Watch a running instance: rates, sums, top talkers and the latest changes",
  args: {
    ...configFlags,
    ...urlFlag,
    ...tailnetFlag,
    interval: option("1s", "Refresh interval, from 200ms to 1m. (Default: 1s)"),
  },
  examples: [
    ["tailscale2otel top", "the instance on this machine; q or Ctrl-C ends it"],
    ["tailscale2otel top --interval 10s | tee top.txt", "in a pipe: lines instead of a screen"],
  ],
  notes:
    "Top talkers are those of the current and the previous otlp.metric_interval. If the instance stops, top waits for it.",
  async run({ args, sources, host }) {
    const intervalMs = parseDuration(args.interval ?? "1s") ?? 0;
    if (intervalMs < 200 || intervalMs > 60_000)
      throw new UsageError(`--interval must be a time from 200ms to 1m, not ${JSON.stringify(args.interval)}`);
    const stop = new AbortController();
    const connect = createConnection({ args, sources, host, stop: stop.signal });
    let instance: AdminClient | undefined = await connect();
    let code = 0;
    const end = (exitCode: number): void => {
      code = exitCode;
      stop.abort();
    };
    const signals = [
      ["SIGINT", 0],
      ["SIGTERM", 143],
      ["SIGHUP", 129],
    ] as const;
    const releases = signals.map(([name, exitCode]) => onSignal(name, () => end(exitCode)));
    const screen = canDraw(host.environment) ? openScreen(() => end(0)) : undefined;
    const { hasColor } = host.out;
    const look = createLook();
    let moment: Moment | undefined;
    const show = async (trouble?: string): Promise<void> => {
      if (moment === undefined) return;
      const shown = moment;
      const { address = "" } = instance ?? {};
      const head = [`tailscale2otel ${shown.overview.version}  ${address}   q ends`];
      const notices = trouble === undefined ? [] : [trouble];
      screen?.draw((columns, rows) => frameOf(shown, { columns, rows, hasColor, head, notices }));
      if (screen === undefined)
        await host.out.write(
          linesOf(shown, notices)
            .map((line) => `${line}\n`)
            .join(""),
        );
    };
    try {
      while (!stop.signal.aborted) {
        try {
          instance ??= await connect();
          moment = await look(instance);
          await show();
        } catch (error) {
          if (stop.signal.aborted) break;
          if (!(error instanceof NoAnswer)) throw error;
          instance = undefined;
          await show(`not up to date: ${printable(error.message)}`);
        }
        await wait(intervalMs, undefined, { signal: stop.signal }).catch(() => undefined);
      }
    } finally {
      screen?.close();
      for (const release of releases) release();
    }
    return code;
  },
});
