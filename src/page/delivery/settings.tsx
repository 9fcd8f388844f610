/** The effective configuration: every setting with its value and origin. Secrets are never included. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Instance, ShownSetting } from "../../admin/instance.ts";
import { Empty, Panel } from "../panel.tsx";
import { replace, route } from "../route.ts";
import { Table } from "../table.tsx";
import { visible } from "../record-text.ts";
import { foundSettings, spansOf } from "./setting-search.ts";

export function SettingsPanel({ instance }: { readonly instance: Instance | undefined }): JSX.Element {
  const { more } = route.value;
  const { setting: text = "", set = "" } = more;
  const all = instance?.settings ?? [];
  const rows = foundSettings(all, text, set === "1");
  const [copied, setCopied] = useState("");
  const choose = (change: Readonly<Record<string, string>>): void => {
    setCopied("");
    replace({ more: { ...more, ...change } });
  };
  return (
    <Panel
      title="Effective configuration"
      width="full"
      note="What applies now, after the file, variables and flags. tailscale2otel check shows the same for the next start."
    >
      <search class="choices" aria-label="Search in the configuration">
        <input
          type="search"
          aria-label="Search in settings"
          placeholder="Key, value, origin or description"
          value={text}
          onInput={({ currentTarget }) => choose({ setting: currentTarget.value })}
        />
        <label>
          <input
            type="checkbox"
            checked={set === "1"}
            onChange={({ currentTarget }) => choose({ set: currentTarget.checked ? "1" : "" })}
          />{" "}
          Only what is set
        </label>
        <span role="status" class="note">
          {copied === "" ? `${rows.length} of ${all.length} settings` : `Copied ${copied}`}
        </span>
      </search>
      {instance !== undefined && rows.length === 0 ? (
        <Empty>
          No setting matches. A setting that is in docs/configuration.md but not here belongs to another version.
        </Empty>
      ) : (
        <Table
          caption="Settings with their values and origins"
          columns={[
            { title: "Setting", value: ({ key }) => key, cell: (row) => <Key row={row} onCopy={setCopied} /> },
            { title: "Value", cell: ({ value }) => <code class="wrapped value">{visible(value)}</code> },
            { title: "Origin", value: ({ origin }) => origin, cell: (row) => <Origin row={row} /> },
            { title: "Description", cell: ({ description }) => <Description text={description} /> },
          ]}
          rows={rows}
          keyOf={({ key }) => key}
          limit={40}
        />
      )}
    </Panel>
  );
}

function Key({ row, onCopy }: { readonly row: ShownSetting; readonly onCopy: (key: string) => void }): JSX.Element {
  const { key, isDefault } = row;
  // Browsers offer the clipboard only on loopback and with TLS.
  const canCopy = "clipboard" in navigator;
  return (
    <span class={isDefault ? "key" : "key set"}>
      <code>{visible(key)}</code>
      {canCopy && (
        <button
          type="button"
          class="copy"
          aria-label={`Copy ${key}`}
          title="Copy the name"
          onClick={() =>
            void navigator.clipboard.writeText(key).then(
              () => onCopy(key),
              () => onCopy(""),
            )
          }
        >
          <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
            <path d="M5.5 5.5h8v8h-8zM10.5 5V2.5h-8v8H5" fill="none" stroke="currentColor" stroke-width="1.3" />
          </svg>
        </button>
      )}
    </span>
  );
}

function Origin({ row: { origin, isDefault } }: { readonly row: ShownSetting }): JSX.Element {
  return <span class={isDefault ? "muted" : "wrapped"}>{visible(origin)}</span>;
}

/** Backticks mark code, as in the reference. */
function Description({ text }: { readonly text: string }): JSX.Element {
  return (
    <span class="wrapped description">
      {spansOf(text).map(({ isCode, text: part }, index) =>
        isCode ? <code key={index}>{part}</code> : <span key={index}>{part}</span>,
      )}
    </span>
  );
}
