/** What the process uses: processor time, memory, and whether its main thread keeps up. */
import type { Telemetry } from "../catalogue/telemetry.ts";

/** The main thread is asked this often whether it is late. */
const tickMs = 500;

/** Begins to measure; the function that it gives ends it. */
export function observeProcess(telemetry: Telemetry): () => void {
  telemetry.observe("process.cpu.time", () => {
    const { user, system } = process.cpuUsage();
    return [
      { value: user / 1e6, attributes: { "cpu.mode": "user" as const } },
      { value: system / 1e6, attributes: { "cpu.mode": "system" as const } },
    ];
  });
  telemetry.observe("process.memory.usage", () => [{ value: process.memoryUsage().rss, attributes: {} }]);
  telemetry.observe("process.uptime", () => [{ value: process.uptime(), attributes: {} }]);
  let expectedAt = performance.now() + tickMs;
  const timer = setInterval(() => {
    const now = performance.now();
    telemetry.record("tailscale2otel.event_loop.lag", Math.max(0, now - expectedAt) / 1000, {});
    expectedAt = now + tickMs;
  }, tickMs);
  timer.unref();
  return () => clearInterval(timer);
}
