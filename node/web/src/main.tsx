import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { follow } from "./api/events.ts";
import { queries } from "./api/query.ts";
import { router } from "./router.tsx";
import "./styles/main.css";

const app = document.getElementById("app");
if (app) {
	createRoot(app).render(
		<StrictMode>
			<QueryClientProvider client={queries}>
				<RouterProvider router={router} />
			</QueryClientProvider>
		</StrictMode>,
	);
	setTimeout(follow, 500); // what the page shows first comes first
}
