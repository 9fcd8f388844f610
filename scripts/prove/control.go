// Command control runs Tailscale's control server for integration tests on loopback, for one real tailscaled.
// With an argument, HTTPS is enabled, so that the node may have a certificate for its name. The first line of output is its address.
package main

import (
	"fmt"
	"net/http/httptest"
	"os"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/logger"
)

func main() {
	control := &testcontrol.Server{
		Logf:           logger.Discard,
		DERPMap:        &tailcfg.DERPMap{},
		MagicDNSDomain: "tail1234.ts.net",
		OnSetDNS:       func(*tailcfg.SetDNSRequest) error { return nil },
	}
	if len(os.Args) > 1 {
		control.DNSConfig = &tailcfg.DNSConfig{Proxied: true}
	}
	control.HTTPTestServer = httptest.NewUnstartedServer(control)
	control.HTTPTestServer.Start()
	fmt.Println(control.HTTPTestServer.URL)
	// Waits until the parent process ends.
	os.Stdin.Read(make([]byte, 1))
}
