/** The frame of the page: navigation, the state of the instance, the filter, and the chosen view. */
import type { JSX } from "preact";
import { useEffect, useErrorBoundary, useRef, useState } from "preact/hooks";
import { session, signOut, troubleOf } from "./api.ts";
import { DeliveryView } from "./delivery/index.tsx";
import { EventsView } from "./events/index.tsx";
import { NodeFilter } from "./filter.tsx";
import { HistoryView } from "./history/index.tsx";
import { ConnectionNotice, ConnectionState, InstanceStateButton } from "./instance-button.tsx";
import { newVersion } from "./live.ts";
import { NowView } from "./now/index.tsx";
import { Select } from "./panel.tsx";
import { hrefOf, route, type View, views } from "./route.ts";
import { SignIn } from "./sign-in.tsx";
import { showTailnet, shownTailnet, tailnets } from "./tailnet.ts";
import { chooseTheme, theme, themes } from "./theme.ts";

const shown: Readonly<Record<View, { readonly title: string; readonly view: () => JSX.Element }>> = {
  now: { title: "Now", view: NowView },
  events: { title: "Events", view: EventsView },
  delivery: { title: "Delivery", view: DeliveryView },
  history: { title: "History", view: HistoryView },
};

export function App(): JSX.Element {
  const main = useRef<HTMLElement>(null);
  const { view: current } = route.value;
  const { view: Current, title } = shown[current];
  const isSignedOut = session.value === "signed_out";
  useEffect(() => {
    document.title = `${title} – tailscale2otel`;
    scrollTo(0, 0);
  }, [title]);
  return (
    <>
      {/* Not an anchor link, because the page keeps its state behind the # of its address. */}
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        Skip to the content
      </button>
      <header class="top">
        <span class="product">
          <Icon />
          tailscale2otel
        </span>
        <nav aria-label="Views">
          {views.map((name) => (
            <a key={name} href={hrefOf({ view: name })} aria-current={name === current ? "page" : undefined}>
              {shown[name].title}
            </a>
          ))}
        </nav>
        {isSignedOut ? <span class="filter" /> : <NodeFilter />}
        {!isSignedOut && <ConnectionState />}
        {!isSignedOut && <InstanceStateButton />}
        {!isSignedOut && <TailnetChoice />}
        <ThemeChoice />
        {session.value === "signed_in" && <SignOut />}
      </header>
      <ConnectionNotice />
      <VersionNotice />
      <main ref={main} tabIndex={-1}>
        {isSignedOut ? <SignIn /> : <Guarded key={current} view={Current} title={title} />}
      </main>
    </>
  );
}

/** An error boundary, so that one failing view does not break the others. */
function Guarded({ view: View, title }: { readonly view: () => JSX.Element; readonly title: string }): JSX.Element {
  const [error, retry] = useErrorBoundary();
  if (error === undefined) return <View />;
  return (
    <section class="panel full">
      <h1>{title}</h1>
      <p class="trouble">This view cannot be shown: {error instanceof Error ? error.message : String(error)}</p>
      <button type="button" onClick={retry}>
        Try again
      </button>
    </section>
  );
}

function VersionNotice(): JSX.Element | null {
  if (newVersion.value === undefined) return null;
  return (
    <p class="notice" role="status">
      Version {newVersion.value} runs now, and this page is of another one.{" "}
      <button type="button" onClick={() => location.reload()}>
        Reload
      </button>
    </p>
  );
}

function SignOut(): JSX.Element {
  const [trouble, setTrouble] = useState("");
  return (
    <>
      <button type="button" onClick={() => void signOut().catch((error: unknown) => setTrouble(troubleOf(error)))}>
        Sign out
      </button>
      <span class="trouble" role="alert">
        {trouble}
      </span>
    </>
  );
}

function TailnetChoice(): JSX.Element | null {
  const shownOne = shownTailnet();
  if (tailnets.value === undefined) return null;
  if (tailnets.value.length === 0)
    return shownOne === undefined ? null : <a href={location.pathname}>Show the only tailnet</a>;
  const options = tailnets.value.map((name) => [name, name] as const);
  return <Select label="Tailnet" options={options} chosen={shownOne} onChoose={showTailnet} />;
}

function ThemeChoice(): JSX.Element {
  return (
    <Select
      label="Color scheme"
      options={themes.map((name) => [name, themeTitles[name]])}
      chosen={theme.value}
      onChoose={(chosen) => chooseTheme(themes.find((name) => name === chosen) ?? "auto")}
    />
  );
}

const themeTitles = { auto: "Auto", light: "Light", dark: "Dark" } as const;

function Icon(): JSX.Element {
  return (
    <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#1f4b99" />
      <path d="M7 21 13 13 19 18 25 9" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round" />
      <circle cx="25" cy="9" r="3" fill="#7fd1ae" />
    </svg>
  );
}
