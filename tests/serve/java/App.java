// An application and a client with Dapr's SDK for Java.
//
// `App app http|grpc PORT` receives; its second event fails the first time. `App send` sends five orders, and makes a
// call that fails.

import com.google.protobuf.Empty;
import com.sun.net.httpserver.HttpServer;
import io.dapr.client.DaprClient;
import io.dapr.client.DaprClientBuilder;
import io.dapr.exceptions.DaprException;
import io.dapr.v1.AppCallbackGrpc;
import io.dapr.v1.DaprAppCallbackProtos.BindingEventRequest;
import io.dapr.v1.DaprAppCallbackProtos.BindingEventResponse;
import io.dapr.v1.DaprAppCallbackProtos.ListInputBindingsResponse;
import io.grpc.ServerBuilder;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Map;

public class App {
  private static boolean failed = false;

  public static void main(String[] arguments) throws Exception {
    if (arguments[0].equals("send")) {
      send();
      // Threads of the SDK stay.
      System.exit(0);
    } else if (arguments[1].equals("grpc")) {
      ServerBuilder.forPort(Integer.parseInt(arguments[2])).addService(new Callbacks()).build().start().awaitTermination();
    } else {
      receiveOverHttp(Integer.parseInt(arguments[2]));
    }
  }

  /** Whether the event is handled. */
  private static synchronized boolean handle(byte[] data) {
    String text = new String(data, StandardCharsets.UTF_8);
    if (text.equals("2") && !failed) {
      failed = true;
      System.out.println("failed 2");
      return false;
    }
    System.out.println("received " + text);
    return true;
  }

  private static void receiveOverHttp(int port) throws Exception {
    HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
    server.createContext("/checkout", exchange -> {
      boolean isEvent = exchange.getRequestMethod().equals("POST");
      byte[] data = exchange.getRequestBody().readAllBytes();
      exchange.sendResponseHeaders(!isEvent || handle(data) ? 200 : 500, -1);
      exchange.close();
    });
    server.start();
  }

  private static class Callbacks extends AppCallbackGrpc.AppCallbackImplBase {
    @Override
    public void listInputBindings(Empty request, StreamObserver<ListInputBindingsResponse> answer) {
      answer.onNext(ListInputBindingsResponse.newBuilder().addBindings("checkout").build());
      answer.onCompleted();
    }

    @Override
    public void onBindingEvent(BindingEventRequest request, StreamObserver<BindingEventResponse> answer) {
      if (!handle(request.getData().toByteArray())) {
        answer.onError(Status.INTERNAL.withDescription("not now").asException());
        return;
      }
      answer.onNext(BindingEventResponse.getDefaultInstance());
      answer.onCompleted();
    }
  }

  private static void send() throws Exception {
    try (DaprClient client = new DaprClientBuilder().build()) {
      client.waitForSidecar(10_000).block();
      for (int order = 1; order <= 5; order++) {
        client.invokeBinding("checkout", "create", order, Map.of("partitionKey", "one"), byte[].class).block();
      }
      try {
        client.invokeBinding("nothing", "create", 1).block();
      } catch (DaprException error) {
        System.out.println("failed: " + error.getMessage());
      }
      client.getMetadata().block().getComponents().forEach(one -> System.out.println("components: " + one.getName()));
    }
  }
}
