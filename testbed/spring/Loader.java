import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import org.springframework.boot.autoconfigure.security.oauth2.client.OAuth2ClientProperties;
import org.springframework.boot.autoconfigure.security.oauth2.client.OAuth2ClientPropertiesMapper;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.env.PropertiesPropertySourceLoader;
import org.springframework.cloud.bindings.Bindings;
import org.springframework.cloud.bindings.boot.SpringSecurityOAuth2BindingsPropertiesProcessor;
import org.springframework.core.env.MapPropertySource;
import org.springframework.core.env.MutablePropertySources;
import org.springframework.core.env.StandardEnvironment;
import org.springframework.core.io.FileSystemResource;

/**
 * Loads what a workload mounts as Spring Boot does, and prints the OAuth 2.0 client that it makes of it: with an argument from that
 * file of properties, without one from the bindings in SERVICE_BINDING_ROOT.
 */
public class Loader {
    public static void main(String[] arguments) throws Exception {
        var environment = new StandardEnvironment();
        MutablePropertySources sources = environment.getPropertySources();
        if (arguments.length > 0) {
            var file = new FileSystemResource(arguments[0]);
            new PropertiesPropertySourceLoader().load("file", file).forEach(sources::addFirst);
        } else {
            Map<String, Object> found = new HashMap<>();
            new SpringSecurityOAuth2BindingsPropertiesProcessor().process(environment, new Bindings(), found);
            sources.addFirst(new MapPropertySource("bindings", found));
        }
        var properties = Binder.get(environment)
            .bind("spring.security.oauth2.client", OAuth2ClientProperties.class)
            .get();
        properties.afterPropertiesSet();
        var said = new TreeMap<String, String>();
        var provider = properties.getProvider().entrySet().iterator().next();
        said.put("provider", provider.getKey());
        said.put("issuer-uri", String.valueOf(provider.getValue().getIssuerUri()));
        // With an issuer Spring would ask the server for its endpoints now.
        provider.getValue().setIssuerUri(null);
        var clients = new OAuth2ClientPropertiesMapper(properties).asClientRegistrations();
        var client = clients.values().iterator().next();
        said.put("clients", String.valueOf(clients.size()));
        said.put("registration", client.getRegistrationId());
        said.put("client-id", client.getClientId());
        said.put("client-secret", client.getClientSecret());
        said.put("authentication", client.getClientAuthenticationMethod().getValue());
        said.put("grant", client.getAuthorizationGrantType().getValue());
        said.put("scopes", String.join(" ", new TreeSet<>(client.getScopes())));
        said.put("redirect-uri", String.valueOf(client.getRedirectUri()));
        said.put("token-uri", client.getProviderDetails().getTokenUri());
        said.put("jwk-set-uri", client.getProviderDetails().getJwkSetUri());
        said.forEach((name, value) -> System.out.println(name + "=" + value));
    }
}
