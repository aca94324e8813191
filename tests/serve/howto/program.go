// The binding `checkout` in a program for Dapr, with Go's own packages: `receive` listens on APP_PORT, `send` calls.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	if os.Args[1] == "receive" {
		http.HandleFunc("POST /checkout", func(answer http.ResponseWriter, request *http.Request) {
			body, _ := io.ReadAll(request.Body)
			fmt.Println("received", string(body))
			answer.WriteHeader(http.StatusOK)
		})
		panic(http.ListenAndServe("127.0.0.1:"+os.Getenv("APP_PORT"), nil))
	}
	url := fmt.Sprintf("http://localhost:%s/v1.0/bindings/checkout", os.Getenv("DAPR_HTTP_PORT"))
	for order := 1; order <= 3; order++ {
		body := fmt.Sprintf(`{"data":{"orderId":%d},"metadata":{"partitionKey":"one"},"operation":"create"}`, order)
		answer, err := http.Post(url, "application/json", strings.NewReader(body))
		if err != nil {
			panic(err)
		}
		answer.Body.Close()
		fmt.Println("sent", order, answer.StatusCode)
	}
}
