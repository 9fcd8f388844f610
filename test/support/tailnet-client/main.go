// Reads and writes a tailnet's log streaming, webhooks, devices and flow logs with the official client library, and fails on
// the first answer that the library, or the strictness of this program, does not take. Arguments: the base address, the
// tailnet, then either "key" and an API key, or "oauth", a client id and its secret.
package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"time"

	"tailscale.com/client/tailscale/v2"
)

var ctx = context.Background()

func main() {
	client := clientOf(os.Args[1:])
	devices(client)
	flowLogs(client)
	for _, logType := range []tailscale.LogType{tailscale.LogTypeNetwork, tailscale.LogTypeConfig} {
		logStream(client, logType)
	}
	webhooks(client)
	fmt.Println("ok")
}

func clientOf(args []string) *tailscale.Client {
	if len(args) < 4 {
		fail("arguments", fmt.Errorf("%d are not enough", len(args)))
	}
	base, err := url.Parse(args[0])
	must("the address", err)
	client := &tailscale.Client{BaseURL: base, Tailnet: args[1]}
	switch args[2] {
	case "key":
		client.APIKey = args[3]
	case "oauth":
		client.Auth = &tailscale.OAuth{ClientID: args[3], ClientSecret: args[4]}
	default:
		fail("arguments", fmt.Errorf("%q is no way to sign in", args[2]))
	}
	return client
}

func devices(client *tailscale.Client) {
	list, err := client.Devices().List(ctx)
	must("devices", err)
	expect("devices", len(list), 2)
	expect("the node id", list[0].NodeID, "nWEB1CNTRL")
	expect("tags", list[0].Tags, []string{"tag:web"})
	expect("addresses", list[0].Addresses, []string{"100.64.1.1", "fd7a:115c:a1e0::1:1"})
	expect("the user", list[1].User, "alice@example.com")
	all, err := client.Devices().ListWithAllFields(ctx)
	must("devices with all fields", err)
	expect("devices with all fields", len(all), 2)
}

func flowLogs(client *tailscale.Client) {
	now := time.Now()
	request := tailscale.NetworkFlowLogsRequest{Start: now.Add(-time.Hour), End: now.Add(time.Minute)}
	count := 0
	err := client.Logging().GetNetworkFlowLogs(ctx, request, func(log tailscale.NetworkFlowLog) error {
		count++
		expect("the log's node id", log.NodeID, "nWEB1CNTRL")
		expect("the log's time is set", log.Logged.IsZero(), false)
		expect("the log's entries", len(log.VirtualTraffic), 1)
		return nil
	})
	must("flow logs", err)
	expect("flow logs", count, 3)
	request.Start, request.End = now.Add(-3*time.Hour), now.Add(-2*time.Hour)
	must("flow logs of an empty window", client.Logging().GetNetworkFlowLogs(ctx, request, func(tailscale.NetworkFlowLog) error {
		return fmt.Errorf("it is not empty")
	}))
}

func logStream(client *tailscale.Client, logType tailscale.LogType) {
	logging := client.Logging()
	_, err := logging.LogstreamConfiguration(ctx, logType)
	notFound("a stream that is not configured", err)
	set := tailscale.SetLogstreamConfigurationRequest{
		DestinationType:   tailscale.LogstreamSplunkEndpoint,
		URL:               "https://hec.example.com:8088/services/collector/event",
		User:              "tailscale",
		Token:             "5f1c0a7e",
		CompressionFormat: tailscale.CompressionFormatZstd,
	}
	must("setting a stream", logging.SetLogstreamConfiguration(ctx, logType, set))
	got, err := logging.LogstreamConfiguration(ctx, logType)
	must("a stream", err)
	expect("a stream", *got, tailscale.LogstreamConfiguration{
		LogType:           logType,
		DestinationType:   set.DestinationType,
		URL:               set.URL,
		User:              set.User,
		CompressionFormat: set.CompressionFormat,
	})
	set.UploadPeriodMinutes = 5
	set.CompressionFormat = tailscale.CompressionFormatGzip
	must("changing a stream", logging.SetLogstreamConfiguration(ctx, logType, set))
	got, err = logging.LogstreamConfiguration(ctx, logType)
	must("a changed stream", err)
	expect("the period", got.UploadPeriodMinutes, 5)
	expect("the compression", got.CompressionFormat, tailscale.CompressionFormatGzip)
	must("removing a stream", logging.DeleteLogstreamConfiguration(ctx, logType))
	_, err = logging.LogstreamConfiguration(ctx, logType)
	notFound("a stream that was removed", err)
	notFound("removing it again", logging.DeleteLogstreamConfiguration(ctx, logType))
}

func webhooks(client *tailscale.Client) {
	hooks := client.Webhooks()
	list, err := hooks.List(ctx)
	must("webhooks", err)
	expect("webhooks", len(list), 0)
	created, err := hooks.Create(ctx, tailscale.CreateWebhookRequest{
		EndpointURL:   "https://hook.example.com/tailscale/webhook",
		ProviderType:  tailscale.WebhookEmptyProviderType,
		Subscriptions: []tailscale.WebhookSubscriptionType{tailscale.WebhookNodeCreated, tailscale.WebhookPolicyUpdate},
	})
	must("creating a webhook", err)
	expect("a secret at creation", created.Secret != nil && *created.Secret != "", true)
	expect("a time of creation", created.Created.IsZero(), false)
	list, err = hooks.List(ctx)
	must("webhooks", err)
	expect("webhooks", len(list), 1)
	got, err := hooks.Get(ctx, created.EndpointID)
	must("a webhook", err)
	expect("no secret later", got.Secret == nil, true)
	expect("the webhook that was created", got.EndpointURL, created.EndpointURL)
	updated, err := hooks.Update(ctx, created.EndpointID, []tailscale.WebhookSubscriptionType{tailscale.WebhookCategoryTailnetManagement})
	must("changing a webhook", err)
	expect("subscriptions", updated.Subscriptions, []tailscale.WebhookSubscriptionType{tailscale.WebhookCategoryTailnetManagement})
	rotated, err := hooks.RotateSecret(ctx, created.EndpointID)
	must("rotating a secret", err)
	expect("another secret", rotated.Secret != nil && *rotated.Secret != *created.Secret, true)
	must("a test event", hooks.Test(ctx, created.EndpointID))
	must("deleting a webhook", hooks.Delete(ctx, created.EndpointID))
	_, err = hooks.Get(ctx, created.EndpointID)
	notFound("a webhook that was deleted", err)
}

func must(what string, err error) {
	if err != nil {
		fail(what, err)
	}
}

func notFound(what string, err error) {
	if err == nil || !tailscale.IsNotFound(err) {
		fail(what, fmt.Errorf("instead of not found: %v", err))
	}
}

func expect(what string, got, wanted any) {
	if !reflect.DeepEqual(got, wanted) {
		fail(what, fmt.Errorf("got %v instead of %v", got, wanted))
	}
}

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}
