// Posts a body of the given size several times, each on a new connection, and prints the responses:
// posting-client URL BYTES TIMES [AUTHORIZATION]. It uses Go's net/http, as Tailscale's publisher does.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
)

func main() {
	size, _ := strconv.Atoi(os.Args[2])
	times, _ := strconv.Atoi(os.Args[3])
	body := bytes.Repeat([]byte(" "), size)
	for i := 0; i < times; i++ {
		client := &http.Client{Transport: &http.Transport{}}
		request, _ := http.NewRequest("POST", os.Args[1], bytes.NewReader(body))
		if len(os.Args) > 4 {
			request.Header.Set("Authorization", os.Args[4])
		}
		answer, err := client.Do(request)
		if err != nil {
			fmt.Println(err)
			continue
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			fmt.Println(err)
			continue
		}
		answer.Body.Close()
		fmt.Println(answer.StatusCode, string(text))
	}
}
