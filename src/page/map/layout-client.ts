/** The page's side of the layout worker, which is asked for positions only when a frame is about to be drawn. */
import type { Graph } from "./graph.ts";
import type { LayoutAnswer, LayoutRequest } from "./layout.ts";

/** URL of the worker, set when the page is built. */
declare const LAYOUT_WORKER: string;

interface TrustedTypePolicies {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
}

export interface LayoutEvents {
  /** Receives x and y of each node of the latest graph; the array is valid only during the call. */
  onPositions(positions: Float32Array): void;
  /** The graph has changed since positions were requested, so they must be requested again. */
  onOutdated(): void;
  /** The worker cannot run here. */
  onFailure(): void;
}

export class LayoutClient {
  readonly #worker: Worker;
  #revision = 0;
  #isAsked = false;
  #isSettled = true;
  /** True if something has changed since the last request. */
  #isChanged = false;
  #isFirst = true;
  #askedAt = 0;
  #positions: Float32Array<ArrayBuffer> | undefined;

  constructor(events: LayoutEvents) {
    this.#worker = new Worker(workerAddress(), { type: "module" });
    this.#worker.addEventListener("message", ({ data }: MessageEvent<LayoutAnswer>) => {
      const positions = data.positions as Float32Array<ArrayBuffer>;
      this.#isAsked = false;
      this.#positions = positions;
      if (data.revision !== this.#revision) {
        events.onOutdated();
        return;
      }
      this.#isSettled = data.isSettled && !this.#isChanged;
      this.#isFirst = false;
      events.onPositions(positions);
    });
    this.#worker.addEventListener("error", () => events.onFailure());
  }

  /** @param aspect Width of the frame divided by its height. */
  show({ nodes, edges }: Graph, aspect: number): void {
    const names = nodes.map(({ name }) => name);
    const radii = Float32Array.from(nodes, ({ radius }) => radius);
    const links = Uint32Array.from(edges.flatMap(({ from, to }) => [from, to]));
    this.#send({ type: "graph", revision: ++this.#revision, names, radii, links, aspect }, [
      radii.buffer,
      links.buffer,
    ]);
  }

  pin(name: string, x: number, y: number): void {
    this.#send({ type: "pin", name, x, y });
  }

  release(name: string): void {
    this.#send({ type: "release", name });
  }

  /**
   * Requests the next positions unless they are pending or nothing moves. The first ones are nearly final, because nobody needs to watch the layout unfold.
   * @returns true if positions will arrive
   */
  ask(pace: "animated" | "at once"): boolean {
    if (this.#isAsked || this.#isSettled) return this.#isAsked;
    [this.#isAsked, this.#isChanged] = [true, false];
    const positions = this.#positions;
    this.#positions = undefined;
    const now = performance.now();
    const frames = Math.round((now - this.#askedAt) / frameMs);
    this.#askedAt = now;
    const effort = this.#isFirst ? first : { ticks: Math.min(maxTicks, Math.max(1, frames)), maxMs: 30 };
    this.#send(
      { type: "step", ...(pace === "at once" ? whole : effort), positions },
      positions === undefined ? [] : [positions.buffer],
    );
    return true;
  }

  close(): void {
    this.#worker.terminate();
  }

  #send(request: LayoutRequest, transfer: Transferable[] = []): void {
    if (request.type !== "step") [this.#isSettled, this.#isChanged] = [false, true];
    this.#worker.postMessage(request, { transfer });
  }
}

const whole = { ticks: 1000, maxMs: 10_000 };
const first = { ticks: 300, maxMs: 350 };
/** One tick per elapsed frame, so that slow drawing lowers the frame rate but does not slow the animation down. */
const frameMs = 1000 / 60;
const maxTicks = 12;

let trustedAddress: string | undefined;

/** If Trusted Types are enforced, a worker URL needs a policy (`layout-worker` in the Content-Security-Policy). It accepts only this URL. */
function workerAddress(): string {
  if (trustedAddress !== undefined) return trustedAddress;
  const { trustedTypes } = globalThis as { readonly trustedTypes?: TrustedTypePolicies };
  const policy = trustedTypes?.createPolicy("layout-worker", {
    createScriptURL(url) {
      if (url !== LAYOUT_WORKER) throw new TypeError("not the address of the layout's worker");
      return url;
    },
  });
  return (trustedAddress = policy?.createScriptURL(LAYOUT_WORKER) ?? LAYOUT_WORKER);
}
