// What a user of the Go client does: client API_ADDRESS UPSTREAM; each step is a line.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
)

var kinds = []struct {
	kind       string
	attributes toxiproxy.Attributes
}{
	{"latency", toxiproxy.Attributes{"latency": 80, "jitter": 0}},
	{"bandwidth", toxiproxy.Attributes{"rate": 1000}},
	{"slow_close", toxiproxy.Attributes{"delay": 10}},
	{"timeout", toxiproxy.Attributes{"timeout": 0}},
	{"reset_peer", toxiproxy.Attributes{"timeout": 10}},
	{"slicer", toxiproxy.Attributes{"average_size": 10, "size_variation": 2, "delay": 10}},
	{"limit_data", toxiproxy.Attributes{"bytes": 1000}},
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func echo(listen string) time.Duration {
	begin := time.Now()
	connection := must(net.Dial("tcp", listen))
	defer connection.Close()
	must(connection.Write([]byte("ping")))
	must(connection.Read(make([]byte, 4)))
	return time.Since(begin)
}

func main() {
	client, upstream := toxiproxy.NewClient(os.Args[1]), os.Args[2]
	fmt.Println("version", strings.Contains(string(must(client.Version())), "version"))
	made := must(client.CreateProxy("made", "127.0.0.1:0", upstream))
	fmt.Println("create", made.Enabled && echo(made.Listen) > 0)
	for _, each := range kinds {
		name := "a_" + each.kind
		toxic := must(made.AddToxic(name, each.kind, "upstream", 1, each.attributes))
		same := len(toxic.Attributes) == len(each.attributes)
		for key, value := range each.attributes {
			same = same && toxic.Attributes[key] == float64(value.(int))
		}
		fmt.Println("toxic", each.kind, same)
		if each.kind == "latency" {
			fmt.Println("slow", echo(made.Listen) >= 80*time.Millisecond)
			changed := must(made.UpdateToxic(name, 1, toxiproxy.Attributes{"latency": 160}))
			slower := echo(made.Listen) >= 160*time.Millisecond
			fmt.Println("update", changed.Attributes["latency"], slower)
		}
		check(made.RemoveToxic(name))
	}
	must(made.AddToxic("gone", "timeout", "downstream", 1, toxiproxy.Attributes{"timeout": 0}))
	check(made.Disable())
	check(client.ResetState())
	again := must(client.Proxy("made"))
	fmt.Println("reset", again.Enabled, echo(again.Listen) > 0)
	one := toxiproxy.Proxy{Name: "one", Listen: "127.0.0.1:0", Upstream: upstream, Enabled: true}
	populated := must(client.Populate([]toxiproxy.Proxy{one}))
	fmt.Println("populate", populated[0].Name, len(must(client.Proxies())))
	for _, proxy := range must(client.Proxies()) {
		check(proxy.Delete())
	}
	fmt.Println("remove", len(must(client.Proxies())))
	_, err := client.Proxy("made")
	fmt.Println("refused", err)
}
