// An application and a client with Dapr's SDK for Go.
//
// `program app http|grpc PORT` receives; its second event fails the first time. `program send` sends five orders, and
// makes a call that fails.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/dapr/go-sdk/client"
	"github.com/dapr/go-sdk/service/common"
	"github.com/dapr/go-sdk/service/grpc"
	"github.com/dapr/go-sdk/service/http"
)

func main() {
	var err error
	if os.Args[1] == "app" {
		err = receive(os.Args[2], "127.0.0.1:"+os.Args[3])
	} else {
		err = send()
	}
	if err != nil {
		panic(err)
	}
}

func receive(protocol, address string) error {
	var service common.Service
	name := "/checkout"
	if protocol == "grpc" {
		var err error
		if service, err = grpc.NewService(address); err != nil {
			return err
		}
		name = "checkout"
	} else {
		service = http.NewService(address)
	}
	failed := false
	handle := func(_ context.Context, event *common.BindingEvent) ([]byte, error) {
		text := string(event.Data)
		if text == "2" && !failed {
			failed = true
			fmt.Println("failed 2")
			return nil, errors.New("not now")
		}
		fmt.Println("received", text)
		return nil, nil
	}
	if err := service.AddBindingInvocationHandler(name, handle); err != nil {
		return err
	}
	return service.Start()
}

func send() error {
	dapr, err := client.NewClient()
	if err != nil {
		return err
	}
	defer dapr.Close()
	request := &client.InvokeBindingRequest{Name: "checkout", Operation: "create"}
	request.Metadata = map[string]string{"partitionKey": "one"}
	for order := 1; order <= 5; order++ {
		request.Data = []byte(fmt.Sprint(order))
		if _, err := dapr.InvokeBinding(context.Background(), request); err != nil {
			return err
		}
	}
	request.Name = "nothing"
	_, err = dapr.InvokeBinding(context.Background(), request)
	fmt.Println("failed:", err)
	metadata, err := dapr.GetMetadata(context.Background())
	if err != nil {
		return err
	}
	for _, component := range metadata.RegisteredComponents {
		fmt.Println("components:", component.Name)
	}
	return nil
}
