// Posts a body of so many bytes, so many times, each over a connection of its own, and prints the answers' statuses:
// posting-client URL BYTES TIMES [AUTHORIZATION]. It is what Tailscale's publisher is: Go's net/http.
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
