/** Polls data for a view while the page is visible. */
import { useEffect, useRef, useState } from "preact/hooks";
import { session, troubleOf } from "./api.ts";
import { isVisible, instanceAnswered, reconnections } from "./live.ts";

export interface Polled<Data> {
  /** The last successful answer, even while `error` is set. */
  readonly data: Data | undefined;
  readonly error: string | undefined;
  /** True until the first answer for this `key`. */
  readonly isLoading: boolean;
  /** Sends a request at once. */
  readonly refresh: () => void;
}

/**
 * Sends a request at once when `key` or `cause` changes, the page becomes visible again, or the connection is restored. `key`
 * identifies the data, so that an error does not leave data of another key. `cause` is a reason to request the same data again.
 */
export function usePolled<Data>(
  load: (signal: AbortSignal) => Promise<Data>,
  everyMs: number,
  key = "",
  cause = "",
): Polled<Data> {
  const [state, setState] = useState<Omit<Polled<Data>, "refresh"> & { readonly key: string }>({
    key,
    data: undefined,
    error: undefined,
    isLoading: true,
  });
  const [asked, setAsked] = useState(0);
  const current = useRef(load);
  current.current = load;
  const isAsking = isVisible.value && session.value !== "signed_out";
  const connected = reconnections.value;
  useEffect(() => {
    if (!isAsking) return undefined;
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async (): Promise<void> => {
      try {
        const data = await current.current(stop.signal);
        if (stop.signal.aborted) return;
        setState({ key, data, error: undefined, isLoading: false });
        instanceAnswered();
      } catch (error) {
        if (stop.signal.aborted) return;
        const trouble = troubleOf(error);
        setState((old) => ({ key, data: old.key === key ? old.data : undefined, error: trouble, isLoading: false }));
      }
      if (!stop.signal.aborted) timer = setTimeout(() => void ask(), everyMs);
    };
    void ask();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [key, cause, everyMs, isAsking, connected, asked]);
  const { data, error } = state;
  const isLoading = state.isLoading || state.key !== key;
  return { data, error, isLoading, refresh: () => setAsked((times) => times + 1) };
}
