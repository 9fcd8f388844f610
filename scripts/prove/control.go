// A control server for one real tailscaled, on loopback: Tailscale's own from its integration tests.
// With an argument, HTTPS is enabled: the node may have a certificate for its name. Its address is the first line of its output.
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
	// Until the one who started it ends.
	os.Stdin.Read(make([]byte, 1))
}
